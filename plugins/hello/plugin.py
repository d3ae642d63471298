"""The smallest plugin: it greets, and tells whose image it was given."""

from pydicom import Dataset


class Plugin:
    """Answers JSON."""

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
