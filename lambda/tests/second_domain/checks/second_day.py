"""A day of the second domain with good and bad records, and what is right, reckoned by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pipeline.model.data_model import MODEL
from pipeline.model.record_kinds import RecordKind

ACCOUNTS = """account_number,segment,branch,rating
A1,private,North,3
A2,business,,
A3,private,"South, ""old"" town",-1
A4,unknown,North,1
A1,business,North,2
A5,private,,good
"""
CONTRACTS = """contract_number,account,volume,signed_at
K1,A1,1000.00,1640995200
K2,A1,500.5,
K3,A2,,1640995200
K4,A4,1,1640995200
K5,A9,1,1640995200
K6,A3,-20,soon
K7,A3,-20,1640995200
K1,A1,7,1640995200
"""
PAYMENTS = """payment_number;contract;amount;fee
P1;K1;100,00;1,50
P2;K1;50,25;
P3;K2;-10,00;0,25
P4;K3;5,00;0
P5;K7;x;1,00
P6;K9;1,00;1,00
P2;K1;9,00;0
P7;K7;3,00;z
"""
CREDITS = """account_number,amount,slip
A1,20,1
A1,0.5,2
A2,7.25,
A3,,3
A4,3,4
A2,1,2
"""


FILES = {"accounts": ACCOUNTS, "contracts": CONTRACTS, "payments": PAYMENTS, "credits": CREDITS}


def day(**others: str) -> dict[RecordKind, bytes]:
    return {MODEL.kind(name): text.encode() for name, text in (FILES | others).items()}


def result(volume: str, paid: str, fees: str, payments: int, credited: str, **carried: Any) -> dict[str, Any]:
    sums = {"contract_volume": volume, "total_paid": paid, "total_fees": fees, "total_credited": credited}
    return {name: Decimal(text) for name, text in sums.items()} | {"number_of_payments": payments} | carried


RESULTS = {
    "A1": result("1500.5", "140.25", "1.75", 3, "20.5", segment="private", branch="North", rating=3),
    "A2": result("0", "0", "0", 0, "7.25", segment="business", branch="", rating=None),
    "A3": result("-20", "0", "0", 0, "0", segment="private", branch='South, "old" town', rating=-1),
}
INCOMPLETE = {"A1": 2, "A2": 3, "A3": 4}
"""A1: K1 and P2 again. A2: K3, its P4, and slip 2 again. A3: K6, P5, P7 and a credit without amount."""

ERRORS = {
    ("accounts", 5): "not_allowed",
    ("accounts", 6): "duplicate_reference",
    ("accounts", 7): "not_an_integer",
    ("contracts", 4): "not_an_amount",
    ("contracts", 5): "refused_account",
    ("contracts", 6): "unknown_account",
    ("contracts", 7): "not_a_timestamp",
    ("contracts", 9): "duplicate_reference",
    ("payments", 5): "refused_contract",
    ("payments", 6): "not_an_amount",
    ("payments", 7): "unknown_contract",
    ("payments", 8): "duplicate_reference",
    ("payments", 9): "not_an_amount",
    ("credits", 5): "not_an_amount",
    ("credits", 6): "refused_account",
    ("credits", 7): "duplicate_id",
}
RECONCILED = {
    "contract_volume": ("1469.5", "1480.5", "-11", 1),
    "total_paid": ("158.25", "140.25", "18", 1),
    "total_fees": ("3.75", "1.75", "2", 1),
    "total_credited": ("31.75", "27.75", "4", 1),
}
"""For each sum: read, delivered, refused, and how many refused records have no amount."""
