"""In what order the items of a job were over: what a reader of its events has seen, and what not yet."""

from neurdicom.jobs.store import LOG_PAGE, JobStore


class Log:
    """The log of one job while it runs; entries are numbers of items, across chunks.

    An item that was run again occurs again. Entries are written before the chunks that they speak of, so a crash may
    leave some whose items are not over: readers pass over them.
    """

    def __init__(self, store: JobStore, job: str) -> None:
        self._store = store
        self._job = job
        self._full = 0
        self._page: list[int] = []
        self._dirty = False

    @property
    def length(self) -> int:
        """Entries so far."""
        return self._full * LOG_PAGE + len(self._page)

    async def open(self, settled: int) -> None:
        """Go on with a log of at least so many entries."""
        self._full = settled // LOG_PAGE
        self._page = await self._store.log_page(self._job, self._full)
        while len(self._page) >= LOG_PAGE:
            self._full += 1
            self._page = await self._store.log_page(self._job, self._full)

    def append(self, item: int) -> None:
        """An item is over."""
        self._page.append(item)
        self._dirty = True

    async def save(self) -> None:
        """Write down what is new."""
        if not self._dirty:
            return
        self._dirty = False
        try:
            while len(self._page) >= LOG_PAGE:
                await self._store.save_log_page(self._job, self._full, self._page[:LOG_PAGE])
                self._full, self._page = self._full + 1, self._page[LOG_PAGE:]
            await self._store.save_log_page(self._job, self._full, list(self._page))
        except BaseException:
            self._dirty = True
            raise
