"""Migration stub."""


async def migrate(connection, progress):
    raise NotImplementedError
