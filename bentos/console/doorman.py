"""Who visits the console: opaque sessions in memory, and the key behind each, looked at again on every request.

Without a file of keys everybody who reaches the console is let in, so it then listens on loopback alone
(`gate.py` holds the Host header to that). A session is lost with the process: people sign in again.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bentos.http.auth import Check
from bentos.http.callers import Caller
from bentos.http.problems import FORBIDDEN, Rejected, refused

ADMIN = "admin"
KEPT_S = 3600.0  # that a session is still known as ended, so that its visitor is told so
LAPTOP = "console"  # who changes things where there are no keys
VISITORS = 1000  # who have signed in, and as many who have not; the longest silent ones go
KNOWN = 100  # people whose raw ids one session remembers, and as many pages


@dataclass
class Visitor:
    """A browser, by the token in its cookie. Nothing of it is written anywhere."""

    token: str
    credential: str = ""  # the key that was given at sign-in
    who: str = ""  # as the document log names it; "" is nobody
    ends: float = 0.0  # epoch seconds
    notices: list[str] = field(default_factory=list)  # sentences that the next page shows
    _people: OrderedDict[str, str] = field(default_factory=OrderedDict)

    _kept: OrderedDict[str, Any] = field(default_factory=OrderedDict)

    def remember(self, pseudonym: str, raw_id: str) -> None:
        """Keep whose pseudonym it is: the id was typed here, and a pseudonym cannot be turned back."""
        _put(self._people, pseudonym, raw_id)

    def keep(self, name: str, what: Any) -> None:
        """Keep what a page showed, to compare the next with."""
        _put(self._kept, name, what)

    def kept(self, name: str) -> Any | None:
        """Return what a page showed; None where it is gone."""
        return self._kept.get(name)

    def raw_id(self, pseudonym: str) -> str | None:
        """Return the id that was typed for a pseudonym in this session."""
        return self._people.get(pseudonym)


def _put(among: OrderedDict[str, Any], name: str, what: Any) -> None:
    among[name] = what
    among.move_to_end(name)
    while len(among) > KNOWN:
        among.popitem(last=False)


class Doorman:
    """Lets visitors in."""

    def __init__(self, check: Check | None, *, session_s: float, clock: Callable[[], float] = time.time) -> None:
        self._check, self._session_s, self._clock = check, session_s, clock
        self._secret = secrets.token_bytes(32)
        self._visitors: OrderedDict[str, Visitor] = OrderedDict()
        self._strangers: OrderedDict[str, Visitor] = OrderedDict()  # apart: any number of them ends no session

    @property
    def open(self) -> bool:
        """Tell whether everybody is let in, since there are no keys."""
        return self._check is None

    def visitor(self, token: str) -> Visitor | None:
        """Return the visitor of a cookie; None: this process gave out no such token."""
        for among in (self._visitors, self._strangers):
            found = among.get(token)
            if found is not None and self.open and found.ends <= self._clock():
                self.sign_out(found)  # where nobody signs in, a session ends unseen: what it held is gone
            elif found is not None:
                among.move_to_end(token)
                return found
        return None

    def welcome(self) -> Visitor:
        """Return a new visitor, who is let in where there are no keys."""
        ends = self._clock() + self._session_s
        return self._kept(Visitor(secrets.token_urlsafe(32), who=LAPTOP if self.open else "", ends=ends))

    def sign_in(self, credential: str) -> Visitor:
        """Return a visitor with a key's rights; refuses a key that is none, has ended, or is no admin server's."""
        who = f"{self._admin(credential).name}, console"
        return self._kept(Visitor(secrets.token_urlsafe(32), credential, who, self._clock() + self._session_s))

    def require(self, visitor: Visitor) -> None:
        """Refuse a visitor who has not signed in, whose session has ended, or whose key holds no longer."""
        if self.open:
            return
        if not visitor.who:
            raise refused("session", "nobody has signed in", "a key", status=401)
        if visitor.ends <= self._clock():
            self.sign_out(visitor)
            raise refused("session", "it has ended", "signing in again", status=401)
        try:
            self._admin(visitor.credential)
        except Rejected as refusal:
            if refusal.status < 500:  # else the file of keys cannot be read for now
                self.sign_out(visitor)
            raise

    def sign_out(self, visitor: Visitor) -> None:
        """Forget a visitor and everything that the session held."""
        for among in (self._visitors, self._strangers):
            among.pop(visitor.token, None)

    def csrf(self, visitor: Visitor) -> str:
        """Return what a form must hold to be the visitor's own."""
        return hmac.new(self._secret, visitor.token.encode(), hashlib.sha256).hexdigest()

    def own(self, visitor: Visitor, csrf: str) -> bool:
        """Tell whether a form is the visitor's own."""
        return hmac.compare_digest(self.csrf(visitor).encode(), csrf.encode())

    def _admin(self, credential: str) -> Caller:
        assert self._check is not None
        caller = self._check.caller(credential)
        caller.need(ADMIN)
        if not caller.serves:
            raise refused("authorization", "the key speaks for one user or page", "a server's key", status=FORBIDDEN)
        return caller

    def _kept(self, visitor: Visitor) -> Visitor:
        for ended in [one for one in self._visitors.values() if one.ends <= self._clock() - KEPT_S]:
            self.sign_out(ended)
        among = self._visitors if visitor.who else self._strangers
        among[visitor.token] = visitor
        while len(among) > VISITORS:
            among.popitem(last=False)
        return visitor
