"""Sentences of the libraries below us that a user meets, in words that name the fix."""

from __future__ import annotations

import re

# what torch says where a size cannot be had or even counted
_MEMORY = re.compile(
    r"can't allocate memory|alloc_cpu|not enough memory|CUDA out of memory|out of memory"
    r"|[Ss]torage size calculation overflowed|multiplication overflow|[Ii]nvalid buffer size"
)
_ONE_VALUE = re.compile(
    r"Expected more than 1 value per channel when training, got input size (torch\.Size\()?(\[.*?\])"
)
_NO_NETWORK = re.compile(
    r"Failed to (resolve|establish)|Name or service not known|Temporary failure in name resolution"
    r"|Network is unreachable|Connection refused|Max retries exceeded|LocalEntryNotFound|outgoing traffic has been"
    r"|couldn't connect|offline mode"
)
_OTHER_PROCESS = re.compile(r"gloo/transport|Connection (closed|reset) by peer|NCCL (error|communicator)")
_HUB = ("LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "ConnectError", "ConnectTimeout")


def translated(error: BaseException) -> str | None:
    """What `error` means for the user; None for an error that is not known here."""
    text = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return _out_of_memory(text)
    if isinstance(error, RuntimeError) and _MEMORY.search(text):
        return _out_of_memory(text.splitlines()[0])
    if _is_of_another_process(error):
        return "another process of this command has ended, and this one with it"
    if isinstance(error, ValueError) and (found := _ONE_VALUE.search(text)):
        return (
            f"batch normalisation has one value per channel to learn from (a batch of {found[2]}); a batch of two "
            "images or more (recipe.batch_size, method.batch_size) or a larger resolution is needed"
        )
    if isinstance(error, ValueError) and "Out of range float values are not JSON compliant" in text:
        return (
            "a figure became infinite or no number (NaN), most likely because training diverged; a lower learning "
            "rate (recipe.lr) is the fix"
        )
    if _is_offline(error):
        return (
            "the weights could not be fetched: there is no connection to the server that holds them; connect, or give "
            "weights of your own (pretrained=False, checkpoint_path=... or checkpoint=...)"
        )
    return None


def _is_of_another_process(error: BaseException) -> bool:
    """Whether several processes computed together and another one is gone."""
    return isinstance(error, RuntimeError) and (
        type(error).__name__.startswith("Dist") or bool(_OTHER_PROCESS.search(str(error)))
    )


def _out_of_memory(text: str) -> str:
    return f"out of memory: {text or 'no details'}; a smaller batch size, resolution or network needs less"


def _is_offline(error: BaseException | None) -> bool:
    """Whether a download failed for want of a network; libraries wrap it in errors of their own."""
    seen = 0
    while error is not None and seen < 10:
        module = type(error).__module__.partition(".")[0]
        if module in ("huggingface_hub", "requests", "urllib3", "httpx", "httpcore"):
            return type(error).__name__ in _HUB or bool(_NO_NETWORK.search(str(error)))
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
