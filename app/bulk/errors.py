"""Why a run of many images cannot start or go on."""


class BulkError(Exception):
    """The run cannot start or go on. The message is a full sentence for the user."""


class BadInput(BulkError):
    """An argument of the command is invalid."""
