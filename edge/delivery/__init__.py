"""One request's story, step by step, on the worker's side.

`story` decides what happens to a request, `answer` words the heads, `body` brings the bytes window by window
from the store or from a fill, `miss` waits for a fill's head, `places` knows what a target means (site, key,
name, kind). Delivery knows neither sockets (it is handed exchanges) nor origins (it asks keepers).
"""
