"""The demo's server: Gradio behind a gate, with limits."""

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.limits import KEPT_SESSIONS, LARGEST_UPLOAD, RequestGate, limit_queue
from echodepth.apps.demo.view import ASSETS
from echodepth.core.errors import ConfigError

if TYPE_CHECKING:
    import gradio

log = logging.getLogger(__name__)


def serve(page: "gradio.Blocks", config: DemoConfig) -> str:
    """Start to serve the page in the background; log and return its address.

    Raises:
        ConfigError: the server cannot listen on the address or port.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    theme = gr.themes.Default(
        primary_hue="orange",
        neutral_hue="stone",
        font=[gr.themes.LocalFont("IBM Plex Sans"), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"],
    )
    limit_queue(page)
    names = {config.host.lower(), *(name.lower() for name in config.allowed_hosts)}
    try:
        app, local, public = page.launch(
            server_name=config.host,
            server_port=config.port,
            share=config.share,
            prevent_thread_lock=True,
            show_error=True,
            quiet=True,
            footer_links=[],
            ssr_mode=False,
            pwa=False,
            theme=theme,
            css_paths=ASSETS / "demo.css",
            max_file_size=LARGEST_UPLOAD,
            state_session_capacity=KEPT_SESSIONS,
            enable_monitoring=False,
            app_kwargs={"middleware": [Middleware(RequestGate, names)]},
        )
    except OSError as error:
        raise ConfigError(
            f"--host {config.host} --port {config.port} cannot be listened on ({error}): give another --port"
        ) from error
    if public and (name := urlsplit(public).hostname):
        names.add(name)
    # Also in front of Gradio's own middleware, which answers the preflight requests of other sites.
    app.middleware_stack = RequestGate(app.middleware_stack or app.build_middleware_stack(), names)
    log.info("the page is at %s; Ctrl-C ends it", public or local)
    return str(local)
