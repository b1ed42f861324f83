"""``echodepth demo``: a web page to try a model. The page loads nothing from other servers."""

import html
import logging
import os
import shutil
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echodepth.apps.demo.backend import (
    DemoInput,
    audio_input,
    depth_image,
    display_shape,
    initial_fov,
    point_cloud,
    read_image,
    run_model,
)
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.apps.demo.limits import UPLOAD_LIFETIME
from echodepth.apps.demo.serving import serve
from echodepth.apps.demo.view import ASSETS, depth_limit, empty_html, error_html, maps_html, spectrograms_html, summary
from echodepth.core.errors import ConfigError, user_message
from echodepth.data.images import open_only_listed_formats
from echodepth.inference.cloud_camera import check_angle
from echodepth.inference.predictor import Predictor, load_model

if TYPE_CHECKING:
    import gradio

log = logging.getLogger(__name__)

_KEPT_POINT_CLOUDS = 32


def demo(config: DemoConfig) -> None:
    """Serve the page until it is interrupted.

    Raises:
        CheckpointError: a model does not exist.
        ConfigError: Gradio is not installed, a flag is out of range, or the port is in use.
        DataError: the files of ``--examples`` do not exist.
    """
    page = open_page(config)
    serve(page, config)
    page.block_thread()


def open_page(config: DemoConfig) -> "gradio.Blocks":
    """Load the models and lay out the page; arguments and errors are those of ``demo``."""
    if find_spec("gradio") is None or find_spec("trimesh") is None:
        raise ConfigError("the page needs Gradio and trimesh: pip install 'echodepth[demo]'")
    check_angle("fov", config.fov)
    if not 0 < config.port < 2**16:
        raise ConfigError(f"--port {config.port}: give a number from 1 to 65535")
    load = partial(
        load_model,
        device=config.device,
        compile="latency",
        mirror_average=config.mirror_average,
        trust_code=config.trust_code,
    )
    compared = [] if config.compare_with is None else [config.compare_with]
    predictors = [load(each) for each in (config.checkpoint, *compared)]
    examples = find_examples(config, predictors)
    open_only_listed_formats()  # Gradio opens uploads before the handlers do
    # Set before Gradio is imported: otherwise it reports each start to its servers and looks for a newer version.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    return _Page(predictors, config.fov or initial_fov(predictors[0]), examples).blocks()


@dataclass
class _Page:
    """Layout and event handlers of the page.

    Attributes:
        predictors: one model, or two to compare.
        fov: initial horizontal field of view of the point cloud, in degrees.
        examples: examples to choose from.
        outputs: output components by name.
        folder: folder of the point clouds, which Gradio takes as files.
        clouds: folders of the latest point clouds.
        worker: the one thread that runs models. Gradio's own come and go, and memory that one of many has freed is of
            no use to the others; so are the threads that torch starts for each.
    """

    predictors: list[Predictor]
    fov: float
    examples: list[DemoInput]
    outputs: dict[str, Any] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    clouds: deque[Path] = field(default_factory=deque)
    worker: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "model"))

    @property
    def takes_audio(self) -> bool:
        return any(predictor.backend.input_key == "audio" for predictor in self.predictors)

    @property
    def takes_images(self) -> bool:
        return any(predictor.backend.input_key == "image" for predictor in self.predictors)

    @property
    def input_names(self) -> str:
        return " and ".join(["a two-channel recording"] * self.takes_audio + ["an image"] * self.takes_images)

    def blocks(self) -> "gradio.Blocks":
        import gradio as gr

        from echodepth.apps.demo.page_inputs import QuietBlocks

        with QuietBlocks(
            title="echodepth", analytics_enabled=False, delete_cache=(UPLOAD_LIFETIME, UPLOAD_LIFETIME)
        ) as page:
            names = " and ".join(html.escape(predictor.name) for predictor in self.predictors)
            gr.HTML(
                f"<h1>echodepth</h1><p>Depth in metres from {self.input_names}, predicted by {names}.</p>",
                elem_id="title",
            )
            with gr.Row():
                with gr.Column(scale=3, min_width=280):
                    inputs, button, example_loaded = self._add_inputs()
                with gr.Column(scale=8, min_width=480):
                    self._add_outputs()
            outputs = list(self.outputs.values())
            *files, fov = inputs
            changes = [
                *(each.upload for each in files),
                fov.release,
                *([example_loaded.then] if example_loaded else []),
            ]
            events = [(button.click, self.predict), *((change, self.predict_if_complete) for change in changes)]
            for event, handler in events:
                # Old results must not stand beside new files. An event of its own clears them: a generator would send
                # its last value twice, which breaks the 3-D view of Gradio 6.31.
                cleared = event(self._cleared, None, outputs, api_visibility="private", show_progress="hidden")
                cleared.then(handler, inputs, outputs, api_visibility="private")
        return page

    def _add_inputs(self) -> tuple[list[Any], Any, Any]:
        import gradio as gr

        from echodepth.apps.demo.page_inputs import leave_unopened

        recording = gr.Audio(
            sources=["upload"],
            type="filepath",
            label="recording, two channels",
            editable=False,
            buttons=[],
            visible=self.takes_audio,
            elem_id="recording",
        )
        image = gr.Image(
            sources=["upload", "clipboard"] if not self.takes_images else ["upload", "clipboard", "webcam"],
            type="filepath",
            image_mode=None,
            height=190,
            label="image" if self.takes_images else "image, for display only",
            elem_id="image",
        )
        leave_unopened(image)
        ground_truth = gr.File(
            file_types=[".npy", ".png"],
            type="filepath",
            height=110,
            label="ground truth depth, optional",
            elem_id="ground_truth",
        )
        fov = gr.Slider(
            *(min(30, self.fov), max(150, self.fov)),
            value=self.fov,
            step=0.1,
            label="horizontal field of view of the point cloud, degrees",
        )
        button = gr.Button("Predict depth", variant="primary", elem_id="predict")
        inputs = [recording, image, ground_truth, fov]
        if not self.examples:
            return inputs, button, None
        rows = [[_text(each.recording), _text(each.image), _text(each.ground_truth)] for each in self.examples]
        used = [i for i in range(3) if (i or self.takes_audio) and any(row[i] for row in rows)]
        # Thumbnails identify an example better than file names do.
        visible = [used.index(1)] if all(row[1] for row in rows) else None
        examples = gr.Examples(
            [[row[i] for i in used] for row in rows],
            [inputs[i] for i in used],
            label="examples",
            visible_columns=visible,
        )
        return inputs, button, examples.load_input_event

    def _add_outputs(self) -> None:
        import gradio as gr

        outputs: dict[str, Any] = {"summary": gr.Markdown(elem_id="summary")}
        outputs["maps"] = gr.HTML(
            empty_html(self.input_names),
            js_on_load=(ASSETS / "demo.js").read_text(),
            elem_id="maps",
            apply_default_css=False,
        )
        with gr.Row():
            outputs["cloud"] = gr.Model3D(
                label="point cloud: drag to rotate, scroll to zoom",
                elem_id="cloud",
                height=340,
                clear_color=(0.09,) * 3 + (1,),
            )
            if len(self.predictors) == 2:
                outputs["slider"] = gr.ImageSlider(label="first | second model", format="png", interactive=False)
        if self.takes_audio:
            outputs["spectrograms"] = gr.HTML(apply_default_css=False, elem_id="ears")
            outputs["slowed"] = gr.Audio(
                label="model input, ten times slower", interactive=False, format="wav", buttons=[]
            )
        self.outputs = outputs

    def predict_if_complete(
        self, recording: str | None, image: str | None, ground_truth: str | None, fov: int | float
    ) -> dict[Any, Any]:
        """Run ``predict`` once all files that the models take are uploaded."""
        if (recording is None and self.takes_audio) or (image is None and self.takes_images):
            return self._cleared()
        return self.predict(recording, image, ground_truth, fov)

    def predict(
        self, recording: str | None, image: str | None, ground_truth: str | None, fov: int | float
    ) -> dict[Any, Any]:
        """Values of the output components for some files; a user's mistake is one line in the place of the maps."""
        files = (recording, image, ground_truth)
        try:
            demo_input = DemoInput(*(Path(path) if path else None for path in files))
            return self.worker.submit(self._results, demo_input, fov).result()
        except Exception as error:  # sorted here: what the page shows, or a bug
            message = user_message(error)
            if message is None:
                raise  # Gradio logs its traceback
            for path in filter(None, files):
                message = message.replace(path, Path(path).name)
            # Gradio's own errors vanish after seconds, and leave the word Error on every output.
            return {**self._cleared(), self.outputs["maps"]: error_html(message)}

    def _cleared(self) -> dict[Any, Any]:
        blank = {"maps": empty_html(self.input_names), "summary": "", "spectrograms": ""}
        return {component: blank.get(name) for name, component in self.outputs.items()}

    def _results(self, demo_input: DemoInput, fov: int | float) -> dict[Any, Any]:
        results = [run_model(predictor, demo_input) for predictor in self.predictors]
        first = self.predictors[0]
        shape = display_shape(demo_input, results, first.field_of_view)
        image = read_image(demo_input.image, shape) if demo_input.image is not None else None
        depth_images = [depth_image(one.estimate.depth, shape, depth_limit(results)) for one in results]
        cloud = point_cloud(first, results[0].estimate.depth, image or depth_images[0], float(fov))
        values = {
            "summary": summary(results),
            "maps": maps_html(results, image, shape),
            "cloud": self._save_cloud(cloud),
            "slider": tuple(depth_images),
        }
        if self.takes_audio and demo_input.recording is not None:
            audio_model = next(each for each in self.predictors if each.backend.input_key == "audio")
            spectrograms, values["slowed"], seconds = audio_input(audio_model, demo_input.recording)
            values["spectrograms"] = spectrograms_html(spectrograms, seconds)
        return {component: values.get(name) for name, component in self.outputs.items()}

    def _save_cloud(self, encoded: bytes) -> str:
        """Write a point cloud file, and delete the oldest: Gradio copies a file soon after it is returned."""
        folder = Path(tempfile.mkdtemp(dir=self.folder.name))
        (folder / "depth.glb").write_bytes(encoded)
        self.clouds.append(folder)
        if len(self.clouds) > _KEPT_POINT_CLOUDS:
            shutil.rmtree(self.clouds.popleft())
        return str(folder / "depth.glb")


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
