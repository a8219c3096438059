"""What every story starts from: a model whose v1.0.0 is in production."""

from stories.worlds import released, story

__all__ = ["released", "story"]
