"""Make docs/picture.png, the README's picture: what a server gives for a slice of a phantom, and no patient's data.

Run it by hand in a checkout where `make install` and `make plugins` were run: `.venv/bin/python docs/picture.py`.
"""

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from neurdicom.cli.demo_steps import running_server
from neurdicom.client import Client

DOCS = Path(__file__).parent
PLUGINS = DOCS.parent / "plugins"
SIZE = 320
#: Hounsfield units of the phantom's parts: centre (row, column), half axes, value; later ones lie over earlier ones.
PARTS = (
    ((0, 0), (0.62, 0.88), -90),  # fat
    ((0, 0), (0.57, 0.82), 45),  # muscle
    ((-0.05, -0.42), (0.40, 0.28), -720),  # lungs
    ((-0.05, 0.42), (0.40, 0.28), -720),
    ((-0.08, 0.06), (0.24, 0.22), 120),  # heart
    ((0.38, 0), (0.12, 0.11), 420),  # spine
    ((-0.14, -0.44), (0.06, 0.06), 60),  # a nodule
)
#: Colours of k-means' labels, from the lowest mean to the highest; the background has none.
COLOURS = np.array([[0, 0, 0], [0, 0, 0], [52, 120, 200], [230, 180, 60], [200, 70, 70], [240, 240, 240]])


def phantom() -> Dataset:
    """Draw a chest of ellipses with noise."""
    row, column = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    image = np.full((SIZE, SIZE), -1000.0)
    for (top, left), (height, width), value in PARTS:
        image[((row - top) / height) ** 2 + ((column - left) / width) ** 2 < 1] = value
    image += np.random.default_rng(7).normal(0, 32, image.shape)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Phantom", "PHANTOM", "CT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = SIZE, SIZE, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.WindowCenter, ds.WindowWidth = -200, 1300
    ds.PixelData = image.round().astype("<i2").tobytes()
    return ds


def main() -> None:
    """Ask a server for the three pictures, and put them side by side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "phantom.dcm"
        phantom().save_as(file, enforce_file_format=True)
        with running_server(folder / "data", 0) as (_, url):
            token = subprocess.run(
                [sys.executable, "-m", "neurdicom", "user", "--data", folder / "data", "token", "admin@localhost"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.strip()
            with Client(url, token) as client:
                instance = client.instances.upload(file)[0]["id"]
                for plugin in ("non_local_means", "k_means"):
                    client.plugins.install(PLUGINS / "build" / f"{plugin}.zip")
                slice_picture = client.instances.image(instance)
                denoised = client.instances.process(
                    instance, plugin="org.neurdicom.non-local-means", format="npy"
                ).content
                labels = client.instances.process(
                    instance, plugin="org.neurdicom.k-means", params={"clusters": 5}, format="npy"
                ).content
    grey = np.asarray(Image.open(io.BytesIO(slice_picture)).convert("RGB")).astype(float)
    clean = np.clip((np.load(io.BytesIO(denoised)) + 850) / 1300, 0, 1) * 255
    colours = COLOURS[np.load(io.BytesIO(labels)).astype(int)]
    over = np.where(colours.any(axis=-1, keepdims=True), 0.45 * grey + 0.55 * colours, grey)
    panels = np.hstack([grey, np.repeat(clean[..., None], 3, axis=-1), over]).round().astype(np.uint8)
    Image.fromarray(panels).quantize(64).save(DOCS / "picture.png", optimize=True)


if __name__ == "__main__":
    main()
