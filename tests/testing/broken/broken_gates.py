"""The gates of broken routers."""

from __future__ import annotations

from selfmoe.contracts import Constant as Everywhere
from selfmoe.contracts import NotSupportedError
from selfmoe.testing.routing import Constant


class Presuming(Constant):
    def forward(self, x, where, info):
        if info.domain is None:
            raise NotSupportedError("whose are these?")
        return super().forward(x, where, info)


class Meddling(Constant):
    def forward(self, x, where, info):
        x.mul_(1.01)
        return super().forward(x, where, info)


class Foreseeing(Constant):
    def forward(self, x, where, info):
        later = x.roll(-1, 1)
        later[:, -1] = x[:, -1]
        return super().forward(x, where, info) * later.mean(-1, keepdim=True).sigmoid()


class Padded(Constant):
    def forward(self, x, where, info):
        real = info.attention_mask.float().mean(-1)[:, None, None]
        return super().forward(x, where, info) * real


class Boasting(Constant):
    def formula(self):
        return Everywhere(value=0.9)
