"""An error that its user can mend."""


class UserError(ValueError):
    """What was given or asked for cannot be used; the message names it and says what to do.

    Commands show it as one line. Any other error is a fault of the code: its traceback is shown.
    """
