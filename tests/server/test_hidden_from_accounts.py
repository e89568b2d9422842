"""What is inside a published graph stays there also where creator and buyer are two accounts, each with their own files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
import pytest_asyncio

from marquetry.engine.events import AnyEvent
from tests.server import test_hidden_inside as hidden
from tests.server.peer import Peer, Socket
from tests.server.people import Somebody, add, generous
from tests.server.secrets import served


@dataclass
class SignedMarket(hidden.Market):
    """As `Market`, of people who signed in. `buyer` is the server as the buyer's browser has it."""

    signed: dict[str, Somebody] = field(default_factory=dict)
    buyer: Peer | None = None

    def headers(self, name: str) -> dict[str, str]:
        return self.signed[name].headers

    async def join(self, *names: str) -> None:
        for name in names:
            self.signed[name] = await add(self.peer, name, *(() if name == "carl" else ("creator",)))

    async def socket(self) -> Socket:
        assert self.buyer is not None
        return await self.buyer.socket("carl", supports_preview_metadata=True)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SignedMarket]:
    async with served(tmp_path_factory.mktemp("market") / "data", accounts=generous()) as peer:
        market = SignedMarket(peer)
        hear = peer.jobs._dispatcher._hear

        def listen(job_id: str, events: Sequence[AnyEvent]) -> None:
            market.told.extend(events)
            hear(job_id, events)

        peer.jobs._dispatcher._intake._hear = listen
        await market.join("ann", "bob", "carl")
        await market.creator("ann")
        await market.creator("bob")
        await market.publish("ann", "portrait", hidden.INSIDE, **hidden.INTERFACE)
        async with aiohttp.ClientSession(peer.address, headers=market.headers("carl")) as session:
            market.buyer = replace(peer, session=session, opened=peer.opened)
            yield market


@pytest.fixture(autouse=True)
def fresh(market: SignedMarket) -> None:
    market.seen.clear()
    market.told.clear()


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "shown",
    [
        hidden.test_a_published_graph_is_a_node_that_makes_what_its_inside_makes,
        hidden.test_saved_pictures_hold_the_outer_graph_only,
        hidden.test_events_name_the_outer_nodes_only_and_there_are_no_previews_of_inner_ones,
        hidden.test_times_are_told_of_the_whole_and_not_of_its_parts,
        hidden.test_an_error_inside_names_the_listing_and_its_input,
    ],
    ids=lambda shown: shown.__name__,
)
async def test_with_accounts_too(market: SignedMarket, shown: Callable[[hidden.Market], Awaitable[None]]) -> None:
    await shown(market)
    assert market.leaks() == []


async def test_the_creator_does_not_see_what_the_buyer_ran(market: SignedMarket) -> None:
    prompt_id, socket = await market.submit(hidden.used(shade=140))
    await socket.ended(prompt_id)
    creator = market.signed["ann"]
    await creator.json("GET", f"/api/v1/jobs/{prompt_id}", 404)
    assert await creator.json("GET", f"/history/{prompt_id}") == {}
