"""The pages: the questions of the API as HTML, whole or one block, and the playground."""

from fastapi import APIRouter

from app.pages import compare, home, layer, mapping, method, models, neuron, search, tokens
from app.pages.playground import routes as playground

router = APIRouter()
for part in (home, mapping, layer, tokens, search, neuron, compare, models, method, playground):
    router.include_router(part.router)
