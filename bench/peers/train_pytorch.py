"""The default run of `convt train` in PyTorch: same images, model, recipe, batch and threads.

    python train_pytorch.py IMAGES.gz [--epochs 60] [--threads 2] [--seed 0] [--channels-last]

Prints one line of JSON: seconds of the training loop, of the whole program, and the last epoch's mean squared error.
"""

import time

START = time.perf_counter()

import argparse
import gzip
import json
import math
import struct

import torch
from torch import nn


def read_images(path):
    data = gzip.open(path, "rb").read()
    _, count, height, width = struct.unpack(">IIII", data[:16])
    pixels = torch.frombuffer(bytearray(data[16:]), dtype=torch.uint8)
    return pixels.reshape(count, 1, height, width).float() / 255


def decoder(generator):
    # padding 1 with output_padding 1 is Keras' "same" for kernel 3, stride 2, up to which side is cropped.
    model = nn.Sequential(
        nn.ConvTranspose2d(32, 64, 7), nn.ReLU(),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, padding=1))
    variances = [2 / 32, 2 / (2.25 * 64), 2 / (2.25 * 64), 1 / (9 * 32)]
    for layer, variance in zip(model[::2], variances):
        nn.init.normal_(layer.weight, std=math.sqrt(variance), generator=generator)
        nn.init.zeros_(layer.bias)
    return model


def start_codes(images, generator):
    flat = images.flatten(1)
    codes = flat @ torch.randn(flat.shape[1], 32, generator=generator)
    codes = (codes - codes.mean(0)) / codes.std(0, unbiased=False)
    codes[:, 0] = 1
    return codes


def rate(step, total, warmup, peak):
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def train(images, args):
    generator = torch.Generator().manual_seed(args.seed)
    model, codes = decoder(generator), start_codes(images, generator)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model = model.to(memory_format=layout)
    images = images.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    loss_of = nn.BCEWithLogitsLoss()
    batches = math.ceil(len(images) / args.batch)
    step, total, warmup = 0, args.epochs * batches, min(2, args.epochs) * batches
    for _ in range(args.epochs):
        squared = 0.0
        for index in torch.randperm(len(images), generator=generator).split(args.batch):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, total, warmup, 0.5)
            code = codes[index].reshape(-1, 32, 1, 1).requires_grad_()
            target = images[index]
            logits = model(code)
            loss = loss_of(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                moved = codes[index] - 20 * len(index) * code.grad.flatten(1)
                moved[:, 0] = 1
                codes[index] = moved
                squared += ((logits.sigmoid() - target) ** 2).mean().item() * len(index)
            step += 1
    return squared / len(images)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    images = read_images(args.images)
    begin = time.perf_counter()
    mse = train(images, args)
    end = time.perf_counter()
    print(json.dumps({"torch": torch.__version__, "train_seconds": end - begin, "seconds": end - START, "mse": mse}))


if __name__ == "__main__":
    main()
