"""Plausible wrong solutions of exercise 8, each with its mistake as its name."""

import torch

import tinyaudio


class MovedOnByEachLayer(tinyaudio.KVCache):
    def extend(self, valid):
        end = self.length + valid.shape[1]
        self.valid[:, self.length : end] = valid
        return self.valid[:, :end]

    def append(self, layer, k, v):
        self.start, self.length = self.length, self.length + k.shape[2]
        return super().append(layer, k, v)


class WrittenFromTheStart(tinyaudio.KVCache):
    def append(self, layer, k, v):
        self.k[layer, :, :, : k.shape[2]] = k
        self.v[layer, :, :, : v.shape[2]] = v
        return self.k[layer, :, :, : self.length], self.v[layer, :, :, : self.length]


class NewPositionsAlone(tinyaudio.KVCache):
    def append(self, layer, k, v):
        super().append(layer, k, v)
        return k, v


class ValidOfTheNewAlone(tinyaudio.KVCache):
    def extend(self, valid):
        super().extend(valid)
        return valid


class PaddingForgotten(tinyaudio.KVCache):
    def extend(self, valid):
        return super().extend(torch.ones_like(valid))


class WholeCapacity(tinyaudio.KVCache):
    def append(self, layer, k, v):
        super().append(layer, k, v)
        return self.k[layer], self.v[layer]


class OneLayerForAll(tinyaudio.KVCache):
    def append(self, layer, k, v):
        return super().append(0, k, v)


class KeysAsValues(tinyaudio.KVCache):
    def append(self, layer, k, v):
        return super().append(layer, k, k)


class NothingReturned(tinyaudio.KVCache):
    def append(self, layer, k, v):
        super().append(layer, k, v)


class LayersSelected(tinyaudio.KVCache):
    def select(self, rows):
        self.k, self.v, self.valid = self.k[rows], self.v[rows], self.valid[rows]


class ValidNotSelected(tinyaudio.KVCache):
    def select(self, rows):
        self.k, self.v = self.k[:, rows], self.v[:, rows]


class RowsSentWhereTheyAreNamed(tinyaudio.KVCache):
    def select(self, rows):
        super().select(rows.argsort() if len(rows) == len(self.valid) else rows)


WRONG = [MovedOnByEachLayer, WrittenFromTheStart, NewPositionsAlone, ValidOfTheNewAlone,
         PaddingForgotten, WholeCapacity, OneLayerForAll, KeysAsValues, NothingReturned,
         LayersSelected, ValidNotSelected, RowsSentWhereTheyAreNamed]  # fmt: skip
