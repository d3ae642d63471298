"""What makes two computations the same: the bytes, what is changed of them, the code, and what it was told."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from neurdicom import __version__
from neurdicom.plugins.tools import Tool
from neurdicom.workers.executor import Input


def result_id(tool: Tool, inputs: Sequence[Input], params: Mapping[str, Any]) -> str:
    """The id of a result, the same for every computation that must give the same.

    Parameters
    ----------
    tool : Tool
        Its type, id and digest count, and the models that it uses; not its name.
    inputs : sequence of Input
        In the order in which the tool gets them. The SHA-256 of the files counts, and their frames and edits.
    params : Mapping[str, Any]
        Converted: a double is a float by now, however it was written.

    Notes
    -----
    The version of NeurDICOM counts too: another one may decode or convert pixels otherwise.
    """
    files = [[one.sha256, one.frame, [dict(edit) for edit in one.edits]] for one in inputs]
    said = [__version__, tool.type, tool.id, tool.digest, dict(tool.uses), files, dict(params)]
    # As RFC 8785 has it: members sorted, no spaces; ASCII, so that every text that JSON may carry has bytes.
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode("ascii")).hexdigest()
