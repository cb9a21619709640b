"""The one error type: what happened, why, and the command that mends it."""

from __future__ import annotations


class StaleError(Exception):
    """A failure a person can act on; the command line prints it without a traceback.

    Args:
        what: what happened, in one sentence.
        why: the reason, in one sentence.
        mend: a command or an action that mends it.
        usage: true when the call itself was wrong (exit code 2), false for a failure (exit code 1).
    """

    def __init__(self, what: str, why: str = "", mend: str = "", *, usage: bool = False) -> None:
        super().__init__(what)
        self.what, self.why, self.mend, self.usage = what, why, mend, usage

    @property
    def exit_code(self) -> int:
        """2 for a wrong call, 1 for a failure."""
        return 2 if self.usage else 1

    def __str__(self) -> str:
        parts = (self.what, self.why and f"why:  {self.why}", self.mend and f"mend: {self.mend}")
        return "\n".join(part for part in parts if part)
