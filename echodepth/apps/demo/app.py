"""The command demo: a page in the browser to try a model. All of it is served from here, nothing is fetched."""

import html
import logging
import os
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echodepth.apps.demo.backend import Question, answer, cloud, drawn_depth, ears, seen, view_shape
from echodepth.apps.demo.examples import find_examples
from echodepth.apps.demo.view import HERE, depth_limit, ears_html, empty_html, maps_html, summary
from echodepth.core.errors import ConfigError, EchodepthError, plain_message
from echodepth.inference.config import DemoConfig
from echodepth.inference.point_cloud import Intrinsics
from echodepth.inference.predictor import Predictor, load_model

if TYPE_CHECKING:
    import gradio

log = logging.getLogger(__name__)

_CLOUDS = 32
_KEPT = 86400  # seconds that an uploaded file is kept


def demo(config: DemoConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: Gradio is not installed, a flag makes no sense, or the port is taken.
        DataError: the examples that are named are not there.
    """
    page = open_page(config)
    serve(page, config)
    page.block_thread()


def open_page(config: DemoConfig) -> "gradio.Blocks":
    """Read the models and lay out the page; arguments and errors are those of ``demo``."""
    if find_spec("gradio") is None or find_spec("trimesh") is None:
        raise ConfigError("the page needs Gradio and trimesh: pip install 'echodepth[demo]'")
    Intrinsics.from_fov(config.fov, (1, 1))
    if not 0 < config.port < 2**16:
        raise ConfigError(f"--port {config.port}: give a number from 1 to 65535")
    named = [config.checkpoint] if config.against is None else [config.checkpoint, config.against]
    predictors = [load_model(name, config.device) for name in named]
    examples = find_examples(config, predictors)
    # Before Gradio is imported: it would tell its makers of each start, and ask them for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return _Page(predictors, config.fov, examples).blocks()


def serve(page: "gradio.Blocks", config: DemoConfig) -> str:
    """Begin to serve the page, and return; its address is said in the log and given back.

    Raises:
        ConfigError: the address or port cannot be listened on.
    """
    import gradio as gr

    theme = gr.themes.Default(
        primary_hue="orange",
        neutral_hue="stone",
        font=[gr.themes.LocalFont("IBM Plex Sans"), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"],
    )
    try:
        _, local, public = page.launch(
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
            css_paths=HERE / "demo.css",
        )
    except OSError as error:
        raise ConfigError(
            f"--host {config.host} --port {config.port} cannot be listened on ({error}): give another --port"
        ) from error
    log.info("the page is at %s; Ctrl-C ends it", public or local)
    return str(local)


@dataclass
class _Page:
    """The page's parts, and what happens when something is asked.

    Attributes:
        predictors: the model, and the one beside it if there is one.
        fov: degrees, at first.
        examples: to pick from.
        outputs: the parts that show an answer, by name.
        folder: for the clouds that Gradio is handed as files, until the page is gone.
        clouds: the latest of them.
    """

    predictors: list[Predictor]
    fov: float
    examples: list[Question]
    outputs: dict[str, Any] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    clouds: deque[Path] = field(default_factory=deque)

    @property
    def hears(self) -> bool:
        return any(predictor.backend.input_key == "audio" for predictor in self.predictors)

    @property
    def sees(self) -> bool:
        return any(predictor.backend.input_key == "image" for predictor in self.predictors)

    @property
    def takes(self) -> str:
        both = ["a two-channel recording"] * self.hears + ["a picture"] * self.sees
        return " and ".join(both)

    def blocks(self) -> "gradio.Blocks":
        import gradio as gr

        with gr.Blocks(title="echodepth", analytics_enabled=False, delete_cache=(_KEPT, _KEPT)) as page:
            names = " against ".join(html.escape(predictor.name) for predictor in self.predictors)
            gr.HTML(f"<h1>echodepth</h1><p>Depth in metres from {self.takes}, by {names}.</p>", elem_id="title")
            with gr.Row():
                with gr.Column(scale=3, min_width=280):
                    inputs, button, offered = self._inputs()
                with gr.Column(scale=8, min_width=480):
                    self._outputs()
            shown = list(self.outputs.values())
            *files, fov = inputs
            events = [*(each.upload for each in files), fov.release, *([offered.then] if offered else [])]
            for event, ask in [(button.click, self.ask), *((event, self.ask_once_complete) for event in events)]:
                # An answer to an earlier question must not stand beside the files of this one. Emptied by an event of
                # its own: a generator's last answer is sent twice, which Gradio 6.31's 3-D view does not survive.
                emptied = event(self._nothing, None, shown, api_visibility="private", show_progress="hidden")
                emptied.then(ask, inputs, shown, api_visibility="private")
        return page

    def _inputs(self) -> tuple[list[Any], Any, Any]:
        import gradio as gr

        recording = gr.Audio(
            sources=["upload"],
            type="filepath",
            label="recording, two channels",
            editable=False,
            buttons=[],
            visible=self.hears,
            elem_id="recording",
        )
        picture = gr.Image(
            sources=["upload", "clipboard"] if not self.sees else ["upload", "clipboard", "webcam"],
            type="filepath",
            image_mode=None,
            height=190,
            label="picture" if self.sees else "picture, for you alone",
            elem_id="picture",
        )
        truth = gr.File(
            file_types=[".npy", ".png"],
            type="filepath",
            height=110,
            label="measured depth, if known",
            elem_id="truth",
        )
        fov = gr.Slider(
            *(min(30, self.fov), max(150, self.fov)), value=self.fov, step=1, label="field of view in 3-D, degrees"
        )
        button = gr.Button("Estimate depth", variant="primary", elem_id="ask")
        inputs = [recording, picture, truth, fov]
        if not self.examples:
            return inputs, button, None
        rows = [[_text(q.recording), _text(q.picture), _text(q.truth)] for q in self.examples]
        used = [i for i in range(3) if (i or self.hears) and any(row[i] for row in rows)]
        # Thumbnails say more than file names do.
        pictured = [used.index(1)] if all(row[1] for row in rows) else None
        offered = gr.Examples(
            [[row[i] for i in used] for row in rows],
            [inputs[i] for i in used],
            label="examples",
            visible_columns=pictured,
        )
        return inputs, button, offered.load_input_event

    def _outputs(self) -> None:
        import gradio as gr

        shown: dict[str, Any] = {"summary": gr.Markdown(elem_id="summary")}
        shown["maps"] = gr.HTML(
            empty_html(self.takes), js_on_load=(HERE / "demo.js").read_text(), elem_id="maps", apply_default_css=False
        )
        with gr.Row():
            shown["cloud"] = gr.Model3D(
                label="turn it: drag; nearer: scroll", elem_id="cloud", height=340, clear_color=(0.09,) * 3 + (1,)
            )
            if len(self.predictors) == 2:
                shown["slider"] = gr.ImageSlider(label="first | second model", format="png", interactive=False)
        if self.hears:
            shown["ears"] = gr.HTML(apply_default_css=False, elem_id="ears")
            shown["slow"] = gr.Audio(
                label="what the model hears, ten times slower", interactive=False, format="wav", buttons=[]
            )
        self.outputs = shown

    def ask_once_complete(
        self, recording: str | None, picture: str | None, truth: str | None, fov: int | float
    ) -> dict[Any, Any]:
        """As ``ask``, but what is not there yet is waited for."""
        if (recording is None and self.hears) or (picture is None and self.sees):
            return self._nothing()
        return self.ask(recording, picture, truth, fov)

    def ask(self, recording: str | None, picture: str | None, truth: str | None, fov: int | float) -> dict[Any, Any]:
        """What the page shows of some files; a user's mistake becomes one line on it."""
        import gradio as gr

        given = (recording, picture, truth)
        try:
            return self._shown(Question(*(Path(path) if path else None for path in given)), fov)
        except EchodepthError as error:
            message = plain_message(error)
            for path in filter(None, given):
                message = message.replace(path, Path(path).name)
            raise gr.Error(html.escape(message), title="This cannot be used", print_exception=False) from error

    def _nothing(self) -> dict[Any, Any]:
        blank = {"maps": empty_html(self.takes), "summary": "", "ears": ""}
        return {part: blank.get(name) for name, part in self.outputs.items()}

    def _shown(self, question: Question, fov: int | float) -> dict[Any, Any]:
        answers = [answer(predictor, question) for predictor in self.predictors]
        shape = view_shape(question, answers)
        picture = seen(question.picture, shape) if question.picture is not None else None
        drawn = [drawn_depth(one.estimate.depth, shape, depth_limit(answers)) for one in answers]
        shown = {
            "summary": summary(answers),
            "maps": maps_html(answers, picture, shape),
            "cloud": self._kept(cloud(answers[0].estimate.depth, picture or drawn[0], float(fov))),
            "slider": tuple(drawn),
        }
        if self.hears and question.recording is not None:
            hearer = next(each for each in self.predictors if each.backend.input_key == "audio")
            levels, shown["slow"], seconds = ears(hearer, question.recording)
            shown["ears"] = ears_html(levels, seconds)
        return {part: shown.get(name) for name, part in self.outputs.items()}

    def _kept(self, encoded: bytes) -> str:
        """A file with a cloud, there until Gradio has copied it and some others have followed."""
        folder = Path(tempfile.mkdtemp(dir=self.folder.name))
        (folder / "depth.glb").write_bytes(encoded)
        self.clouds.append(folder)
        if len(self.clouds) > _CLOUDS:
            shutil.rmtree(self.clouds.popleft())
        return str(folder / "depth.glb")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
