"""The command line, and what commands of applications are made of."""

from faust.cli.base import AppCommand, Command, UsageError, argument, option
from faust.cli.main import call_command

__all__ = ["AppCommand", "Command", "UsageError", "argument", "call_command", "option"]
