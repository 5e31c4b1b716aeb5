"""The smallest application to try `valkeyctl bench --target` on.

Run it: CACHE_URL=redis://127.0.0.1:6379/0 uvicorn --app-dir docs/examples bench_app:app
"""

import asyncio

from fastapi import FastAPI

from valkeyctl.fastapi import CachedRoute, CacheSettings, cached_response, lifespan

app = FastAPI(lifespan=lifespan(CacheSettings()))
app.router.route_class = CachedRoute  # before the endpoints


@app.get("/articles/{name}")
@cached_response("metadata")
async def article(name: str) -> dict[str, str]:
    """Answer after 20 ms, as a database would; from the cache at once."""
    await asyncio.sleep(0.02)
    return {"name": name, "text": f"All about {name}"}
