"""What a registry may promise besides, for those who look after it."""

from typing import Protocol, runtime_checkable

from harness.domain.model import Revision


@runtime_checkable
class Verifier(Protocol):
    """A registry that can say whether a version is what was registered, without loading it."""

    async def verify(self, revision: Revision) -> tuple[str, ...]:
        """Everything that is wrong with a version; empty where nothing is."""
        ...

    async def signed_by(self, revision: Revision) -> str:
        """The id of the key that signed it; empty where nobody has."""
        ...


class Swept(Protocol):
    """What a sweep found."""

    @property
    def removed(self) -> int:
        """Files that no version names."""
        ...

    @property
    def kept(self) -> int:
        """Files that versions name."""
        ...

    @property
    def waiting(self) -> int:
        """Files that no version names, too young to be taken away."""
        ...


@runtime_checkable
class Sweeper(Protocol):
    """A registry whose files may outlive what named them."""

    async def sweep(self, older_than_s: int, *, only_look: bool = False) -> Swept:
        """Take away files that no version names."""
        ...
