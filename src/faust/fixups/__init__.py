"""What other frameworks need to get along with us."""

from faust.fixups.base import Fixup
from faust.fixups.finding import fixups

__all__ = ["Fixup", "fixups"]
