"""An index built anew from millions of journal entries, in sorted order, by processes of their own (DESIGN section 9).

LMDB takes rows in the order of their keys for 1 us each, names at random for 10: so what the journals say is sorted
first. `reading`: entries become *rows*, which lie in *spills* by the first byte of their name; `weighing`: what all
rows of a name come to; `building`: the phases, and who does what in them; `order`: what is asked for and answered.
The builder is the only writer of the new environment and knows no volume: what happens meanwhile is the keeper's.
"""
