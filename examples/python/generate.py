import wkv

model = wkv.load("embedded")  # or the path of a checkpoint
tokenizer = wkv.tokenizer("bytes")
print(wkv.generate(model, tokenizer, "In the beginning", max_tokens=100, seed=1))
