"""The smallest plugin, which returns a greeting and the patient of the image."""

from pydicom import Dataset


class Plugin:
    """Plugin whose result is JSON."""

    def init(self):
        print("hello starts")

    def process(self, ds: Dataset = None, *args, name="John Doe", **kwargs):
        return {
            "greeting": f"Hello, {name}!",
            "patient": str(ds.get("PatientName", "")) if ds is not None else "",
            "modality": ds.get("Modality", "") if ds is not None else "",
        }

    def destroy(self):
        print("hello ends")
