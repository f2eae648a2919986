"""The keeper process of one volume, wired: store, origin client, desk. Read it top to bottom."""

import asyncio
import socket

from edge.clock import SystemClock
from edge.fill.desk import Desk
from edge.fill.settings import FillSettings
