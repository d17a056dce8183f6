"""Continues a text with the model that comes with the library, and prints it as it is written."""
import wkv

model, tokenizer = wkv.load("embedded"), wkv.tokenizer("bytes")
for piece in wkv.generate(model, tokenizer, "In the beginning", max_tokens=200, stream=True):
    print(piece, end="", flush=True)
