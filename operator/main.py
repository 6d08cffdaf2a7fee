"""The operator's entry: `kopf run main.py`."""

import sys

from edge_etl_operator.handlers import Doorbells
from edge_etl_operator.settings import SettingsError, load

try:
    doorbells = Doorbells(load())
except SettingsError as error:
    sys.exit(f"edge-etl operator: {error}")

doorbells.register()
