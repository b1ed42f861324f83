"""Gradio's checks of a request before a handler runs; Gradio prints a traceback for each that fails. Imports Gradio."""

import logging
from typing import Any

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like

log = logging.getLogger(__name__)


class QuietBlocks(gr.Blocks):  # type: ignore[misc]  # Gradio has no types
    """Blocks whose clients alone learn that their request has files, values or a number of them that no page sends."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """Inputs of a handler; a failure names no path of the server."""
        try:
            _check_files(inputs)
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            raise gr.Error(str(error.message), print_exception=False) from error
        except Exception as error:  # of every type, by values of anyone's; a fault of Gradio's or ours is in the log
            log.debug("inputs of a request are refused", exc_info=error)
            message = "the request has files or values that this page does not send: reload it, and upload them again"
            raise gr.Error(message, print_exception=False) from error


def leave_unopened(image: Any) -> None:
    """Hand an image's path on as it is: the handler opens it, and says in one line why it cannot be used.

    No class of its own: Gradio writes a stub file beside each module that extends a component.
    """
    image.preprocess = _path


def _path(payload: Any) -> str | None:
    return None if payload is None else payload.path


def _check_files(inputs: list[Any]) -> None:
    """Raise a ValueError if a file is not marked as an upload: Gradio looks for the place of marked files alone.

    It takes any image of the machine by its path without a mark, and fetches addresses of the web.
    """
    for value in inputs:
        if isinstance(value, list):
            _check_files(value)
        elif isinstance(value, dict) and (not is_file_obj_with_meta(value) or is_http_url_like(value["path"])):
            raise ValueError("not an upload")
