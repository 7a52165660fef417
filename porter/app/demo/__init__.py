"""`porter demo`: the real parts on loopback, a lab router to look at, and crashes to survive."""

from porter.app.demo.tour import run_demo

__all__ = ["run_demo"]
