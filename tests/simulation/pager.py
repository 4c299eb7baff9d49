"""A pager that is sometimes down, sometimes lies, and remembers what it was told. People answer there, too."""

from random import Random

from relay.engine.settle import Said
from relay.incident.effects import AcknowledgePage, Effect, Measure, Page, ResolvePage, UpdatePage
from relay.incident.events import Delivered, Measured
from relay.integrations.courier import Again, Never
from relay.integrations.news import News

MOODS = ("well", "well", "well", "down", "ghost", "moody")
TARGETS = ("pd-ada", "pd-bob", "pd-chen", "pd-noc")


class Pager:
    """Open pages by key. In the mood `ghost` it takes what it is told, and the answer is lost."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.mood = "well"
        self.open: set[str] = set()
        self.closed: set[str] = set()
        """Closed by Relay, or by people, which Relay has heard of."""
        self.answered: dict[str, News] = {}
        """What people have done there."""
        self.told: list[News] = []
        """What it has answered when it was asked, this time."""
        self.refused: set[str] = set()
        self.rang_when_over: list[str] = []

    def answer(self, effect: Effect) -> Said:
        if isinstance(effect, Measure):
            return Measured({}, dict.fromkeys(effect.queries, "nobody knows"))
        mood = self.mood
        if mood == "moody":
            mood = self._chance.choice(("well", "down", "ghost", "never"))
        if mood == "down":
            return Again("it is down")
        unwanted = effect.key in self.refused or (mood == "never" and effect.key not in self.open)
        if unwanted and isinstance(effect, Page):  # what is refused for good is refused whoever asks again
            self.refused.add(effect.key)
            return Never("it does not want to")
        self._take(effect)
        if mood == "ghost":
            return Again("the connection broke")
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None

    def _take(self, effect: Effect) -> None:
        match effect:
            case Page(key=key) | UpdatePage(key=key):  # to PagerDuty, an update is a trigger, too
                if key in self.closed:
                    self.rang_when_over.append(key)
                if key not in self.open:
                    self.answered.pop(key, None)
                self.open.add(key)
            case ResolvePage(key=key):
                self.open.discard(key)
                self.closed.add(key)
            case AcknowledgePage():
                pass

    def act(self) -> News | None:
        """Somebody answers a page at the pager, or closes it there; or the pager closes it by itself."""
        if not self.open:
            return None
        key = self._chance.choice(sorted(self.open))
        news = News(key, self._chance.choice(("acknowledged", "acknowledged", "closed", "timed_out")), "bo (pager)")
        self.answered[key] = news
        if news.what != "acknowledged":
            self.open.discard(key)
        return news

    def heard(self, news: list[News], under_way: set[str]) -> None:
        """Relay has heard: it must not ring again what somebody has closed here, but for what is `under_way` by now."""
        self.closed |= {one.key for one in news if one.what == "closed"} - under_way - self.open

    async def ask_about(self, key: str, session: object) -> News | None:
        """Tell what became of a page (`Tells`)."""
        if self.mood == "down":
            raise Again("it is down")
        if news := self.answered.get(key):
            self.told.append(news)
        return news

    async def carry_out(self, effect: Effect, session: object) -> None:
        raise NotImplementedError("errands are carried out by the story")
