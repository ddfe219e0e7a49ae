"""Recipes: one paper a file. `RECIPES` lists them all; each is a function of the method's parameters."""

from collections.abc import Callable

from hardmine.equation.recipe import HeadTraits, Paper, Recipe, Slot
from hardmine.recipes.alrp import alrp
from hardmine.recipes.ap_loss import ap_loss
from hardmine.recipes.atss import atss
from hardmine.recipes.balanced_ce import balanced_ce
from hardmine.recipes.carl import carl
from hardmine.recipes.ce import ce
from hardmine.recipes.class_balanced import class_balanced
from hardmine.recipes.correlation import correlation
from hardmine.recipes.dr_loss import dr_loss
from hardmine.recipes.efl import efl
from hardmine.recipes.eqlv2 import eqlv2
from hardmine.recipes.fcos import fcos
from hardmine.recipes.focal import focal
from hardmine.recipes.gfl import gfl
from hardmine.recipes.ghm import ghm
from hardmine.recipes.hnm import hnm
from hardmine.recipes.ia_bce import ia_bce
from hardmine.recipes.instance_balanced import instance_balanced
from hardmine.recipes.iou_balanced import iou_balanced
from hardmine.recipes.isr import isr
from hardmine.recipes.libra import libra
from hardmine.recipes.mal import mal
from hardmine.recipes.max_iou import max_iou
from hardmine.recipes.ohem import ohem
from hardmine.recipes.ohem_mmdet import ohem_mmdet
from hardmine.recipes.pisa import pisa
from hardmine.recipes.pixel_ohem import pixel_ohem
from hardmine.recipes.qfl import qfl
from hardmine.recipes.random import random
from hardmine.recipes.rfcn_ohem import rfcn_ohem
from hardmine.recipes.rs_loss import rs_loss
from hardmine.recipes.s_ohem import s_ohem
from hardmine.recipes.seesaw import seesaw
from hardmine.recipes.simota import simota
from hardmine.recipes.tood import tood
from hardmine.recipes.vfl import vfl

__all__ = [
    "RECIPES",
    "HeadTraits",
    "Paper",
    "Recipe",
    "Slot",
    "alrp",
    "ap_loss",
    "atss",
    "balanced_ce",
    "carl",
    "ce",
    "class_balanced",
    "correlation",
    "dr_loss",
    "efl",
    "eqlv2",
    "fcos",
    "focal",
    "gfl",
    "ghm",
    "hnm",
    "ia_bce",
    "instance_balanced",
    "iou_balanced",
    "isr",
    "libra",
    "mal",
    "max_iou",
    "ohem",
    "ohem_mmdet",
    "pisa",
    "pixel_ohem",
    "qfl",
    "random",
    "rfcn_ohem",
    "rs_loss",
    "s_ohem",
    "seesaw",
    "simota",
    "tood",
    "vfl",
]

RECIPES: dict[str, Callable[..., Recipe]] = {
    "random": random,
    "ce": ce,
    "balanced_ce": balanced_ce,
    "class_balanced": class_balanced,
    "focal": focal,
    "qfl": qfl,
    "gfl": gfl,
    "vfl": vfl,
    "mal": mal,
    "ia_bce": ia_bce,
    "hnm": hnm,
    "ohem": ohem,
    "ohem_mmdet": ohem_mmdet,
    "rfcn_ohem": rfcn_ohem,
    "s_ohem": s_ohem,
    "libra": libra,
    "iou_balanced": iou_balanced,
    "instance_balanced": instance_balanced,
    "ghm": ghm,
    "isr": isr,
    "carl": carl,
    "pisa": pisa,
    "eqlv2": eqlv2,
    "efl": efl,
    "seesaw": seesaw,
    "ap_loss": ap_loss,
    "alrp": alrp,
    "rs_loss": rs_loss,
    "dr_loss": dr_loss,
    "correlation": correlation,
    "max_iou": max_iou,
    "atss": atss,
    "fcos": fcos,
    "tood": tood,
    "simota": simota,
    "pixel_ohem": pixel_ohem,
}
