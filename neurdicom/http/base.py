"""The base of all handlers: access, JSON, bodies of bounded size, and problem details."""

import asyncio
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Any, TypeVar, cast

import orjson
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from neurdicom.errors import Invalid, NeurdicomError, TooLarge
from neurdicom.http import cors
from neurdicom.http.bodies import LARGE_BODY, read_form, read_json
from neurdicom.http.codings import check_coding
from neurdicom.http.context import HttpContext
from neurdicom.http.early import EarlyAnswerHandler
from neurdicom.http.operation import MAX_BODY, MAX_JSON, METHODS, Operation
from neurdicom.http.problems import headers_of, problem, problem_of, status_of, translated
from neurdicom.http.proxies import Reach
from neurdicom.logs import REQUEST_ID
from neurdicom.schema import Checked
from neurdicom.security.access import Principal, check_access
from neurdicom.security.authentication import SESSION_COOKIE
from neurdicom.security.basic import is_basic
from neurdicom.security.origin import check_loopback_host, check_origin

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Status, in log and metrics, of a request that was stopped since its client disconnected; nginx uses the same.
CLIENT_GONE = 499

#: Accepted form of X-Request-ID; any other value is replaced.
GIVEN_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


class ApiHandler(EarlyAnswerHandler):
    """Base of all handlers.

    `prepare` runs before the body arrives, so that nobody without a credential sends one. A subclass for larger
    bodies than its operation's `max_body` overrides `data_received`. Its services are annotations without a value.

    Attributes
    ----------
    reach : Reach
        The client, and the address of this server for it.
    stops_with_client : bool
        Whether the handler's task is cancelled when the client disconnects, since only this response needs its work. A
        method of HTTP that sets it calls `stop_if_gone` afterwards.
    """

    context: HttpContext
    reach: Reach
    principal: Principal | None = None
    stops_with_client: bool = False
    _task: asyncio.Task[Any] | None = None
    _is_stopped = False

    def initialize(self, context: HttpContext, services: Mapping[str, object] = MappingProxyType({})) -> None:
        """Set the services that the handler declares: its annotated attributes, found by the route."""
        self.context = context
        self.reach = context.proxies.apply(self.request)
        self.__dict__.update(services)
        context.under_way.add(self)
        self.body = bytearray()
        given = self.request.headers.get("X-Request-ID", "")
        self.request_id = given if GIVEN_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        self._allow_origin()

    def set_default_headers(self) -> None:
        """Hide the server's software, and keep browsers from guessing types and framing pages."""
        self.clear_header("Server")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Check the credential, the access and the names of the query parameters."""
        self.set_header("X-Request-ID", self.request_id)
        REQUEST_ID.set(self.request_id)
        if not self.context.ready:
            self.set_header("Connection", "close")
        if self.context.settings.no_auth:
            check_loopback_host(self.request.host)
        headers = self.request.headers
        if self._is_preflight():
            self._answer_preflight()
            return
        described = self.operation
        if described is None:
            raise HTTPError(405)
        authorization = headers.get("Authorization")
        if authorization is None or is_basic(authorization):  # browsers add both by themselves
            check_origin(
                self.request.method or "",
                host=self.request.host,
                public=self.reach.authority,
                origin=headers.get("Origin"),
                fetch_site=headers.get("Sec-Fetch-Site"),
                trusted=self._trusted_origins(),
            )
        self.principal = await self.context.authenticator.authenticate(
            authorization, self.get_cookie(SESSION_COOKIE), self.request.remote_ip or ""
        )
        check_access(described.access, self.principal)
        if not described.open_query:
            self.check_query(described.query_names)
        if described.content:
            check_coding(headers.get("Content-Encoding", ""), described.codings)
            await self.check_path(*self.path_args)
        await self.stop_if_gone()

    async def check_path(self, *ids: str) -> None:
        """Check that the entity of the path exists, before the body is read and its faults are reported.

        A handler whose method takes a body overrides this if its path names something. Raises `NotFound`.
        """

    def on_finish(self) -> None:
        """Count the request as answered."""
        self.context.under_way.discard(self)

    def on_connection_close(self) -> None:
        """Cancel the handler's task, if it stops with its client."""
        super().on_connection_close()
        self._lose_client()

    async def stop_if_gone(self) -> None:
        """Stop here if the handler stops with its client, which disconnected during authentication.

        Tornado calls `on_connection_close` only if the client disconnects later.
        """
        if cast(HTTP1Connection, self.request.connection).stream.closed():
            self._lose_client()
            await asyncio.sleep(0)  # a cancelled task ends here

    def _lose_client(self) -> None:
        """Stop counting the request as current, and cancel the task if only its client needs it."""
        self.context.under_way.discard(self)
        if self.stops_with_client and self._task is not None:
            self._is_stopped = True
            self._task.cancel()

    async def _execute(self, *args: Any, **kwargs: Any) -> None:
        """Run the handler; one that is stopped with its client is counted as such, and sends no response."""
        self._task = asyncio.current_task()
        try:
            await super()._execute(*args, **kwargs)
        except asyncio.CancelledError:
            if not self._is_stopped:
                raise
            if not self._finished:
                self.set_status(CLIENT_GONE, "Client Closed Request")
                self._log()

    @property
    def operation(self) -> Operation | None:
        """Operation of this request's method; a HEAD is a GET without its body."""
        method = "get" if self.request.method == "HEAD" else (self.request.method or "").lower()
        return getattr(getattr(self, method, None), "operation", None)

    async def head(self, *args: str) -> None:
        """Answer as GET does; Tornado drops the body."""
        await cast(Any, self).get(*args)

    # -- pages of other origins ------------------------------------------------------------------------------

    def vary(self, *names: str) -> None:
        """Add request headers to Vary, on which the answer depends too."""
        known = [each.strip() for each in self._headers.get("Vary", "").split(",") if each.strip()]
        self.set_header("Vary", ", ".join(dict.fromkeys([*known, *names])))

    def _allow_origin(self) -> None:
        """Allow a page of an allowed origin to read the answer, also an error."""
        setting = self.context.settings.cors_origins
        if not setting:
            return
        self.vary("Origin")
        allowed = cors.allowed_origin(setting, self.request.headers.get("Origin"))
        if allowed is not None:
            self.set_header("Access-Control-Allow-Origin", allowed)
            self.set_header("Access-Control-Expose-Headers", cors.EXPOSED)

    def _trusted_origins(self) -> frozenset[str]:
        """List other origins whose pages may change anything: none with a cookie, which only our own pages use."""
        settings = self.context.settings
        if self.get_cookie(SESSION_COOKIE) and not settings.no_auth:
            return frozenset()
        return cors.listed_origins(settings.cors_origins)

    def _is_preflight(self) -> bool:
        """Tell whether this is a CORS preflight, which has no credential yet."""
        headers = self.request.headers
        return (
            self.request.method == "OPTIONS"
            and "Access-Control-Request-Method" in headers
            and cors.allowed_origin(self.context.settings.cors_origins, headers.get("Origin")) is not None
        )

    def _answer_preflight(self) -> None:
        names = self.request.headers.get("Access-Control-Request-Headers")
        self.set_header("Access-Control-Allow-Methods", ", ".join(self._methods()))
        self.set_header("Access-Control-Allow-Headers", cors.requested_headers(names))
        self.set_header("Access-Control-Max-Age", str(cors.MAX_AGE))
        self.set_status(HTTPStatus.NO_CONTENT)
        self.finish()

    # -- request ---------------------------------------------------------------------------------------------

    def check_query(self, known: frozenset[str]) -> None:
        """Refuse query parameters of other names."""
        unknown = self.request.query_arguments.keys() - known
        if unknown:
            name, taken = min(unknown), ", ".join(sorted(known)) or "none"
            raise Invalid(f"unknown query parameter {name!r}; the parameters of this route are: {taken}", field=name)

    def data_received(self, chunk: bytes) -> Any:
        """Collect the body, up to the `max_body` of the operation."""
        most = MAX_BODY if self.operation is None else self.operation.max_body
        if len(self.body) + len(chunk) > most:
            self.refuse(TooLarge(f"the body has more than {most} bytes, the most for this route"))
        else:
            self.body += chunk

    def refuse(self, error: NeurdicomError) -> None:
        """Answer with an error while the body arrives; `data_received` must not raise it."""
        self.send_error(self.status_of(error), exc_info=(type(error), error, error.__traceback__))

    async def json_body(self) -> Checked:
        """Parse the body as the JSON object that the operation declares. Raises `Malformed` or `Invalid`."""
        declared = self.operation.json if self.operation else None
        if declared is None:
            raise LookupError(f"{self.request.method} {self.request.path} declares no JSON")
        return await self.compute(read_json, self.body, declared)

    async def form_body(self) -> dict[str, list[str]]:
        """Parse the fields of a form body (urlencoded or multipart), without files. Raises `Malformed`."""
        return await self.compute(read_form, self.body, self.request.headers)

    async def compute(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a function whose time depends on the size of the body: in a thread unless that is small.

        Parameters
        ----------
        work : callable
            The function.
        *arguments
            Its arguments.

        Returns
        -------
        T
            What it returns; what it raises is raised.
        """
        if len(self.body) <= LARGE_BODY:
            return work(*arguments)
        if len(self.body) <= MAX_JSON:
            return await asyncio.to_thread(work, *arguments)
        return await self.context.large_bodies.run(work, *arguments)

    def query(self, name: str) -> str | None:
        """Return a query parameter that is given at most once, None when absent. Raises `Invalid` when given twice."""
        values = self.get_query_arguments(name)
        if len(values) > 1:
            raise Invalid(f"{name!r} is given {len(values)} times; give it once", field=name)
        return values[0] if values else None

    # -- answer ----------------------------------------------------------------------------------------------

    def send_json(self, value: Any, status: int = 200) -> None:
        """Finish with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; once an answer has begun, close the connection, so that the client notices."""
        if self._is_stopped:
            return
        if self._headers_written and not self._finished:
            self.break_off()
        super().send_error(status_code, **kwargs)

    def break_off(self) -> None:
        """Close the connection, so that the client notices that the answer is incomplete."""
        cast(HTTP1Connection, self.request.connection).close()

    async def flush_to_client(self) -> bool:
        """Send the written bytes, and wait until the client has received them; return False if it disconnected."""
        try:
            await self.flush()
        except StreamClosedError:
            return False
        return True

    def local_port(self) -> int | None:
        """Return the TCP port at which this request arrived; None where its connection is closed."""
        stream = cast(HTTP1Connection, self.request.connection).stream
        return None if stream.socket is None else int(stream.socket.getsockname()[1])

    def public_path(self, path: str) -> str:
        """Return the path at which the client reaches one of ours: with the prefix that a proxy takes away."""
        return self.reach.prefix + path

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Finish with problem details; an internal error shows its request id and nothing else."""
        self.set_header("X-Request-ID", self.request_id)
        self._allow_origin()
        error = translated(kwargs.get("exc_info", (None, None, None))[1])
        if isinstance(error, NeurdicomError):
            body = problem_of(error, self.status_of(error))
            self.set_status(body["status"])
            for name, value in headers_of(error, self.public_path(self.request.uri or "")).items():
                self.set_header(name, value)
        elif status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
            body = problem(status_code, f"internal error; the server's log has it under request {self.request_id}")
        else:
            body = problem(status_code, self._detail_of(status_code, error))
        if body["status"] == HTTPStatus.UNAUTHORIZED:
            self.clear_header("WWW-Authenticate")
            for challenge in self.challenges():
                self.add_header("WWW-Authenticate", challenge)
        if body["status"] == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self._methods()))
        self.set_header("Content-Type", "application/problem+json")
        self.finish(orjson.dumps(body))

    def challenges(self) -> list[str]:
        """List the schemes that a 401 offers (RFC 9110 11.6.1); Basic would make a browser show its dialog."""
        return ['Bearer realm="neurdicom"']

    def status_of(self, error: NeurdicomError) -> int:
        """Return the HTTP status of an error; a protocol whose standard differs overrides this."""
        return status_of(error)

    def _methods(self) -> list[str]:
        allowed = [m.upper() for m in METHODS if hasattr(getattr(self, m), "operation")]
        return ["HEAD", *allowed] if "GET" in allowed else allowed

    def _detail_of(self, status: int, error: BaseException | None) -> str:
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            return f"{self.request.method} is not possible here; this path has {', '.join(self._methods())}"
        text = error.log_message if isinstance(error, HTTPError) else None
        return text or HTTPStatus(status).phrase

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log only faults of the server, without the query, which may hold a patient's name.

        Parameters
        ----------
        typ : type or None
            Class of the exception.
        value : BaseException or None
            The exception.
        tb : traceback or None
            Its traceback.
        """
        if value is not None and not isinstance(value, NeurdicomError | HTTPError):
            trace = (type(value), value, tb) if translated(value) is value else None
            log.error("%s %s failed: %s", self.request.method, self.request.path, value, exc_info=trace)


class UnknownRoute(ApiHandler):
    """Handler for paths that no route matches."""

    async def prepare(self) -> None:
        """Refuse, whatever the method."""
        self.set_header("X-Request-ID", self.request_id)
        raise HTTPError(404, log_message=f"there is nothing at {self.request.path}")
