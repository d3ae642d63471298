"""Bodies of uploads: forms and ZIP files."""

import io
import zipfile

BOUNDARY = "----a7f3b0"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple[str, bytes], end: bool = True) -> bytes:
    """A multipart body from header lines and contents."""
    body = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), head.encode(), data) for head, data in parts)
    return body + (b"--%s--\r\n" % BOUNDARY.encode() if end else b"")


def file_part(name: str, data: bytes) -> tuple[str, bytes]:
    """Header lines and content of a form's file."""
    return f'Content-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: application/dicom', data


def zip_of(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file of members: name and content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in members:
            file.writestr(name, data)
    return stream.getvalue()
