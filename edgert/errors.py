"""Every error that edgert raises on purpose.

    EdgertError
      ModelFormatError (ValueError)    the file or its graph is wrong; names the tensor or node, with the numbers
      UnsupportedOpError               the converter met operators it cannot express; lists all of them
      ConversionError                  the source model is damaged, or a step of the conversion cannot hold its contract
      InputError (ValueError)          an array, picture or argument given by the caller does not fit
      TierError                        a forced kernel tier is unknown or this CPU lacks it
      CustomOpError                    a custom op does not compile, or raised while it ran; carries the node's name
      CameraError (OSError)            a camera or other source cannot be opened or stopped answering
      DeployError                      a deployment did not happen; the previous release still runs

The command line turns each into one line on stderr and the exit code below.
"""


class EdgertError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns for it."""

    exit_code = 1


class ModelFormatError(EdgertError, ValueError):
    exit_code = 3


class UnsupportedOpError(EdgertError):
    exit_code = 3


class ConversionError(EdgertError):
    exit_code = 3


class InputError(EdgertError, ValueError):
    exit_code = 1


class TierError(EdgertError):
    exit_code = 2


class CustomOpError(EdgertError):
    exit_code = 1


class CameraError(EdgertError, OSError):
    exit_code = 4


class DeployError(EdgertError):
    exit_code = 5
