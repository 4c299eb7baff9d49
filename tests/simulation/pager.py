"""A pager that is sometimes down, sometimes lies, and remembers what it was told."""

from random import Random

from relay.engine.settle import Said
from relay.incident.effects import AcknowledgePage, Effect, Measure, Page, ResolvePage
from relay.incident.events import Delivered, Measured
from relay.integrations.courier import Again, Never

MOODS = ("well", "well", "well", "down", "ghost", "moody")


class Pager:
    """Open pages by key. In the mood `ghost` it takes what it is told, and the answer is lost."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.mood = "well"
        self.open: set[str] = set()
        self.closed: set[str] = set()
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
            case Page(key=key):
                if key in self.closed:
                    self.rang_when_over.append(key)
                self.open.add(key)
            case ResolvePage(key=key):
                self.open.discard(key)
                self.closed.add(key)
            case AcknowledgePage():
                pass
