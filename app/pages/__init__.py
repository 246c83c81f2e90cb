"""The questions of the API as HTML, a whole page or one block of it, and the playground."""

from fastapi import APIRouter

from app.pages import about, browse, compare, neuron, playground, searching

router = APIRouter()
for part in (browse, searching, neuron, compare, about, playground):
    router.include_router(part.router)
