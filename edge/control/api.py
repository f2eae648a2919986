"""The admin API: routes as a table, from which the server and its OpenAPI document are made."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web
from pydantic import BaseModel, ValidationError

from edge.control.asks import Done, DrainAsk, LogAsk, PurgeAsk, PurgeTold, WarmAsk, WarmTold
from edge.control.roles import Operator, Role, operator_of
from edge.control.warm import Warmth
from edge.control.warmjob import Job, State
from edge.errors import BadRequest, EdgeError

BODY_MOST = 16 << 20  # a list of 100,000 URLs
TOP_MOST = 1000


class Node(Protocol):
    """What the API needs of the process it runs in."""

    async def purge(self, ask: PurgeAsk) -> PurgeTold: ...

    async def warm(self, ask: WarmAsk) -> Job: ...

    async def fleet(self) -> dict[str, Any]: ...

    def stats(self) -> dict[str, Any]: ...

    def top(self, count: int) -> dict[str, Any]: ...

    async def explain(self, url: str) -> dict[str, Any]: ...

    def config(self) -> dict[str, Any]: ...

    def drain(self, *, on: bool) -> str: ...

    def reload(self) -> str: ...

    async def upgrade(self) -> str: ...

    def log_level(self, level: str) -> str: ...

    @property
    def warmth(self) -> Warmth: ...


Answer = BaseModel | dict[str, Any]
Handler = Callable[["Api", web.Request, Any], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """`query` = parameters with their meaning; `takes` and `gives` = what the bodies are."""

    method: str
    path: str
    role: Role
    about: str
    handler: Handler
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    query: tuple[tuple[str, str], ...] = ()


class Api:
    """`operators` None: who reaches the listener may do everything (a Unix socket in a private directory)."""

    def __init__(
        self,
        node: Node,
        routes: Sequence[Route],
        document: dict[str, Any],
        operators: Callable[[], Sequence[Operator]] | None,
    ) -> None:
        self.node = node
        self.document = document
        self._routes = routes
        self._operators = operators

    def add_to(self, app: web.Application) -> None:
        """Serve the routes."""
        for route in self._routes:
            app.router.add_route(route.method, route.path, self._endpoint(route))

    def _endpoint(self, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            refused = self._refusal(request, route.role)
            if refused is not None:
                return refused
            try:
                ask = route.takes.model_validate_json(await request.read() or b"{}") if route.takes else None
                told = await route.handler(self, request, ask)
            except ValidationError as wrong:
                return _problem(400, "; ".join(_told(error) for error in wrong.errors(include_url=False)))
            except BadRequest as wrong:
                return _problem(wrong.status, wrong.detail)
            except (EdgeError, ConnectionError) as failed:
                return _problem(503, str(failed))
            return _answer(told)

        return serve

    def _refusal(self, request: web.Request, least: Role) -> web.Response | None:
        if self._operators is None:
            return None
        operators = self._operators()
        if not operators:
            return _problem(403, "no operators are configured: use the control socket, or add [[operator]]")
        operator = operator_of(request.headers.get("Authorization"), operators)
        if operator is None:
            refused = _problem(401, "a bearer token is needed")
            refused.headers["WWW-Authenticate"] = 'Bearer realm="edge"'
            return refused
        if operator.role < least:
            return _problem(403, f"{operator.name} has the role {operator.role.name.lower()}: too little for this")
        return None


def _told(error: Any) -> str:
    """Field, value, what it should be."""
    where, why = ".".join(str(part) for part in error["loc"]), str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    if where and isinstance(given, str | int | float):
        where += f" = {given!r:.100}"
    return f"{where}: {why}" if where else why


def _problem(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)


def _answer(told: Answer) -> web.Response:
    body = told.model_dump() if isinstance(told, BaseModel) else told
    return web.json_response(body, dumps=lambda value: json.dumps(value, ensure_ascii=False))


# -- handlers -------------------------------------------------------------------------------------


async def _purge(api: Api, _: web.Request, ask: PurgeAsk) -> Answer:
    return await api.node.purge(ask)


async def _stats(api: Api, _: web.Request, __: None) -> Answer:
    return api.node.stats()


async def _top(api: Api, request: web.Request, _: None) -> Answer:
    count = request.query.get("count", "20")
    if not count.isdecimal() or not 0 < int(count) <= TOP_MOST:
        raise BadRequest(f"count is 1 to {TOP_MOST}")
    return api.node.top(int(count))


async def _explain(api: Api, request: web.Request, _: None) -> Answer:
    return await api.node.explain(request.query.get("url", ""))


async def _config(api: Api, _: web.Request, __: None) -> Answer:
    return api.node.config()


async def _drain(api: Api, _: web.Request, ask: DrainAsk) -> Answer:
    return Done(done=api.node.drain(on=ask.on))


async def _reload(api: Api, _: web.Request, __: None) -> Answer:
    return Done(done=api.node.reload())


async def _upgrade(api: Api, _: web.Request, __: None) -> Answer:
    return Done(done=await api.node.upgrade())


async def _log(api: Api, _: web.Request, ask: LogAsk) -> Answer:
    return Done(done=api.node.log_level(ask.level))


async def _warm(api: Api, _: web.Request, ask: WarmAsk) -> Answer:
    return (await api.node.warm(ask)).told()


async def _fleet(api: Api, _: web.Request, __: None) -> Answer:
    return await api.node.fleet()


async def _jobs(api: Api, _: web.Request, __: None) -> Answer:
    return {"jobs": [job.told() for job in api.node.warmth.jobs.values()]}


async def _job(api: Api, request: web.Request, _: None) -> Answer:
    return api.node.warmth.find(request.match_info["id"]).told()


async def _turn(api: Api, request: web.Request, _: None) -> Answer:
    state = VERBS.get(request.match_info["verb"])
    if state is None:
        raise BadRequest(f"a job is told to {', '.join(VERBS)}", 404)
    return (await api.node.warmth.turn_to(request.match_info["id"], state)).told()


VERBS = {"pause": State.PAUSED, "resume": State.WAITING, "cancel": State.CANCELLED}


async def _document(api: Api, _: web.Request, __: None) -> Answer:
    return api.document


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/openapi.json", Role.READ, "This document.", _document),
    Route("POST", "/v1/purge", Role.PURGE, "Forget objects, or make them stale.", _purge, PurgeAsk, PurgeTold),
    Route("POST", "/v1/warm", Role.PURGE, "Begin a warm job.", _warm, WarmAsk, WarmTold),
    Route("GET", "/v1/warm", Role.READ, "All warm jobs.", _jobs),
    Route("GET", "/v1/warm/{id}", Role.READ, "One warm job.", _job, gives=WarmTold),
    Route("POST", "/v1/warm/{id}/{verb}", Role.PURGE, "Pause, resume or cancel a warm job.", _turn, gives=WarmTold),
    Route("GET", "/v1/fleet", Role.READ, "The nodes of the fleet, and how far each has done its orders.", _fleet),
    Route("GET", "/v1/stats", Role.READ, "Counters and sizes, summed over all processes.", _stats),
    Route("GET", "/v1/top", Role.READ, "The busiest sites and objects.", _top, query=(("count", "how many"),)),
    Route("GET", "/v1/explain", Role.READ, "What is stored for a URL, and what would happen.", _explain,
          query=(("url", "as a player asks it"),)),
    Route("GET", "/v1/config", Role.ADMIN, "The configuration in use, secrets masked.", _config),
    Route("POST", "/v1/drain", Role.ADMIN, "Have load balancers take players elsewhere.", _drain, DrainAsk, Done),
    Route("POST", "/v1/reload", Role.ADMIN, "Take up the configuration anew.", _reload, gives=Done),
    Route("POST", "/v1/upgrade", Role.ADMIN, "Become the program that is installed now.", _upgrade, gives=Done),
    Route("POST", "/v1/log", Role.ADMIN, "Set the log level of all processes.", _log, LogAsk, Done),
)  # fmt: skip
