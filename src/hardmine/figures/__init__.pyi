from .curves import curves as curves
from .drawing import draw as draw, plot as plot
from .figure import Figure as Figure, Panel as Panel, Series as Series
from .saving import save as save
