"""What several plots share: the glad last sentence."""

from __future__ import annotations

from tane.sample.teller import Teller

_HAPPY = (
    "{Hは}(とても|心から|)うれしく[なる:た]",
    "{Hは}、うれしくて(にこにこと|)[わらう:た]",
    "{Hは}、(今日|この日)のことをずっと(覚えて|わすれないで)いようと[思う:た]",
    "(その夜|ねる前に)、{Hは}このことを日記に[書く:た]",
    "{H}の心は、あたたかく[なる:た]",
    "みんなの顔が明るく[なる:た]",
    "{Hは}、またこんな日が来るといいなと[思う:た]",
    "それは、{H}にとって(大切な|楽しい|すばらしい)一日[だ:た]",
)


def happy(t: Teller, share: float = 1.0) -> None:
    """Closes a story with a glad sentence."""
    t.maybe(share, *_HAPPY)
