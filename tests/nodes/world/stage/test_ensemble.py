"""The fixed cast for measuring."""

from __future__ import annotations

from collections import Counter

from marquetry.nodes.world.stage.ensemble import anchors, characters, environments, panels
from marquetry.nodes.world.stage.render import draw
from marquetry.nodes.world.stage.seen import attributes
from marquetry.nodes.world.stage.vocabulary import EXPRESSIONS, POSES, SETTINGS


def test_ten_characters_in_twenty_places_make_fifty_panels() -> None:
    assert len(set(characters())) == 10
    assert len(set(environments())) == 20
    assert {place.setting for place in environments()} == set(SETTINGS)
    assert len(set(panels())) == 50
    acting = [panel.actors[0] for panel in panels()]
    assert set(Counter(actor.person.name for actor in acting).values()) == {5}
    assert {actor.pose for actor in acting} == set(POSES)
    assert {actor.expression for actor in acting} == set(EXPRESSIONS)


def test_a_character_has_fourteen_anchors_that_show_what_they_are_called() -> None:
    shown = {name: attributes(draw(scene, 128)) for name, scene in anchors(characters()[0]).items()}
    assert len(shown) == 14
    for name, seen in shown.items():
        assert name in (seen["actor 0 view"], seen.get("actor 0 expression"), seen.get("actor 0 pose"))
