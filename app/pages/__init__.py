"""The questions of the API as HTML, a whole page or one block of it, and the playground."""

from fastapi import APIRouter

from app.pages import browse, compare, playground, searching

router = APIRouter()
router.include_router(browse.router)
router.include_router(searching.router)
router.include_router(compare.router)
router.include_router(playground.router)
