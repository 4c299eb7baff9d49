import os

import pytest

from relay.config.complaints import Rejected
from relay.config.files import MOST_BYTES, read_all, revision, rule_files


def write(folder, *names, text="a: 1\n"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_every_yaml_file_counts_but_those_that_others_read(tmp_path):
    write(tmp_path, "b.yaml", "a.yml", "team/c.yaml", "team/deep/d.yaml", "prometheus.yaml")
    write(
        tmp_path,
        "alerts.rules.yml",
        "alerts.rules.yaml",
        "a_test.yaml",
        "team/c_test.yml",
        "notes.md",
        "e.yaml~",
        "f.json",
    )
    write(tmp_path, ".hidden.yaml", ".git/g.yaml", "prometheus/h.yaml", "team/probes/i.yaml")
    assert [str(path.relative_to(tmp_path)) for path in rule_files(tmp_path)] == [
        "a.yml",
        "b.yaml",
        "prometheus.yaml",
        "team/c.yaml",
        "team/deep/d.yaml",
    ]


def test_a_kubernetes_configmap_is_read_once(tmp_path):
    write(tmp_path, "..2026_01_07/rules.yaml")
    (tmp_path / "..data").symlink_to("..2026_01_07")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    assert rule_files(tmp_path) == [tmp_path / "rules.yaml"]
    documents, complaints = read_all(tmp_path)
    assert ([document.data for document in documents], complaints) == ([{"a": 1}], [])


def test_one_file_may_be_named_whatever_it_is_called(tmp_path):
    write(tmp_path, "rules.txt")
    assert rule_files(tmp_path / "rules.txt") == [tmp_path / "rules.txt"]


def test_a_broken_file_is_told_of_and_the_others_are_read(tmp_path):
    write(tmp_path, "good.yaml")
    write(tmp_path, "broken.yaml", text="a: [1\n")
    write(tmp_path, "list.yaml", text="- a\n")
    (tmp_path / "latin.yaml").write_bytes("a: größe\n".encode("latin-1"))
    write(tmp_path, "huge.yaml", text="# " + "x" * MOST_BYTES)
    documents, complaints = read_all(tmp_path)
    assert [document.name for document in documents] == [str(tmp_path / "good.yaml")]
    assert {os.path.basename(c.place.file): c.problem for c in complaints} == {
        "broken.yaml": "while parsing a flow sequence: did not find expected ',' or ']'",
        "huge.yaml": "is larger than 8 MiB",
        "latin.yaml": "is not UTF-8 text (byte 5)",
        "list.yaml": "a rule file is a mapping of sections",
    }


@pytest.mark.parametrize(
    ("name", "said"), [("", "there is no .yaml file in it"), ("none", "there is no such file or directory")]
)
def test_where_there_are_no_rules_it_says_so(tmp_path, name, said):
    with pytest.raises(Rejected) as rejected:
        read_all(tmp_path / name)
    [complaint] = rejected.value.complaints
    assert (complaint.problem, complaint.advice) == (said, "name a directory that holds rule files")


def test_the_revision_changes_with_any_text_or_name_and_with_nothing_else(tmp_path):
    write(tmp_path, "a.yaml", "b.yaml")

    def now():
        return revision(read_all(tmp_path)[0])

    first = now()
    assert first == now()
    assert len(first) == 12
    write(tmp_path, "b.yaml", text="a: 2\n")
    second = now()
    (tmp_path / "b.yaml").rename(tmp_path / "c.yaml")
    assert len({first, second, now()}) == 3
