import pytest

from relay.config.secrets import SecretMissing, read_secret


def test_a_secret_is_read_from_a_file_without_the_line_break_at_its_end(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    assert read_secret(str(tmp_path / "token"), None) == "s3cret"


def test_or_from_the_environment():
    assert read_secret(None, "TOKEN", {"TOKEN": " s3cret\n"}) == "s3cret"


def test_the_file_wins(tmp_path):
    (tmp_path / "token").write_text("from the file")
    assert read_secret(str(tmp_path / "token"), "TOKEN", {"TOKEN": "from the environment"}) == "from the file"


def test_what_is_missing_is_told_by_its_place(tmp_path):
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"s3cret\xff")
    missing = [
        (None, None, "no secret is named: write a *_file or *_env key"),
        (None, "TOKEN", "the environment variable TOKEN is empty or not set"),
        (str(tmp_path / "none"), None, f"the secret file {tmp_path}/none cannot be read: No such file or directory"),
        (str(tmp_path), None, f"the secret file {tmp_path} cannot be read: Is a directory"),
        (str(tmp_path / "empty"), None, f"the secret file {tmp_path}/empty is empty or not set"),
        (str(tmp_path / "binary"), None, f"the secret file {tmp_path}/binary cannot be read: it is not UTF-8 text"),
        ("a\0b", None, "the secret file a\0b cannot be read: "),
    ]
    for file, env, said in missing:
        with pytest.raises(SecretMissing) as told:
            read_secret(file, env, {})
        assert str(told.value).startswith(said)
        assert "s3cret" not in str(told.value)
