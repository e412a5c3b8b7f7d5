import pytest

from edgert.cli.main import main


@pytest.fixture
def edgert(capsys):
    """Function from a command's words to (exit code, stdout, stderr)."""

    def call(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
