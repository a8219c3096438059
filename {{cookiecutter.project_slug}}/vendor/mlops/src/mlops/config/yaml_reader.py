"""A reader of YAML that stops at its limits, before it expands anything.

It is a module of its own because ruamel.yaml takes long to import: `config.yaml`
imports it when a file is read.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, SequenceNode

MOST_VALUES = 100_000  # of a document, each alias counted as all that it stands for


def limited_reader(most_depth: int) -> YAML:
    """Return a reader of YAML 1.2 that stops at the limits on depth and values.

    Parameters
    ----------
    most_depth : int
        How many collections may stand inside each other.
    """
    reader = YAML(typ="safe", pure=True)
    reader.Composer = LimitedComposer
    reader.Constructor = PreciseConstructor
    reader.max_depth = most_depth
    return reader


class LimitedComposer(Composer):
    """Counts values as they are read, aliases by all that they stand for."""

    sizes: dict[int, int]

    def compose_document(self) -> Any:
        """Compose a document, counting from zero."""
        self.sizes = {}
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node, and count the values in it.

        Raises
        ------
        MarkedYAMLError
            When there are more than `MOST_VALUES` of them, or an alias stands inside
            what it stands for.
        """
        event = self.parser.peek_event()
        node = super().compose_node(parent, index)
        if isinstance(event, AliasEvent):
            if id(node) not in self.sizes:
                raise _limit(event, "an alias stands inside what it stands for")
            return node
        size = self._size(node)
        if size > MOST_VALUES:
            raise _limit(event, f"more than {MOST_VALUES:,} values, aliases expanded")
        self.sizes[id(node)] = size
        return node

    def _size(self, node: Any) -> int:
        """Return how many values a node and the nodes inside it stand for."""
        size = 1
        if isinstance(node, SequenceNode):
            for child in node.value:
                size += self.sizes[id(child)]
        elif isinstance(node, MappingNode):
            for key, value in node.value:
                size += self.sizes[id(key)] + self.sizes[id(value)]
        return size


class PreciseConstructor(SafeConstructor):
    """Says where the value is that no Python object can be made of."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Construct a node's value.

        Raises
        ------
        YAMLError
            When the value cannot be read, with its place in the file.
        """
        try:
            return super().construct_object(node, deep)
        except (YAMLError, MemoryError):
            raise
        except Exception as error:  # converters raise whatever they run into
            problem = f"this value cannot be read ({type(error).__name__})"
            raise ConstructorError(None, None, problem, node.start_mark) from error


def _limit(event: Any, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
