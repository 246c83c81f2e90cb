"""The questions of the API as HTML, a whole page or one block of it, and the playground."""

from fastapi import APIRouter

from app.pages import compare, home, layer, method, models, neuron, search, tokens
from app.pages.playground import routes as playground

router = APIRouter()
for part in (home, layer, tokens, search, neuron, compare, models, method, playground):
    router.include_router(part.router)
