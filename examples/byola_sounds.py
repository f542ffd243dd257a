"""Pretrain BYOL-A with randomized quantization on a folder of sounds: python byola_sounds.py FOLDER EPOCHS OUT.pth"""

import sys
from pathlib import Path

import torch

import data_prep
from pcrq import RandomizedQuantization
from pcrq.ssl import BYOL
from projects.audio.augmentation import ResizeCrops
from projects.audio.encoder import AudioNTT2020
from projects.audio.log_mel import SEGMENT_SAMPLES, LogMel, log_mel_statistics, normalize_batch


def random_segments(sounds: list[torch.Tensor]) -> torch.Tensor:
    starts = [int(torch.randint(len(sound) - SEGMENT_SAMPLES + 1, ())) for sound in sounds]
    return torch.stack([sound[i : i + SEGMENT_SAMPLES] for sound, i in zip(sounds, starts, strict=True)])


folder, epochs, out = sys.argv[1:]
files = sorted(file for file in Path(folder).rglob("*") if file.suffix.lower() in data_prep.SOUND_FORMATS)
sounds = [torch.from_numpy(data_prep.load_sound(file)) for file in files]  # 16 kHz; here of 0.95 s or longer
batches = torch.utils.data.DataLoader(sounds, min(256, len(sounds)), True, drop_last=True, collate_fn=random_segments)
log_mel, quantize = LogMel(), RandomizedQuantization(bins=5, channel_dims=(0, 1))
statistics = log_mel_statistics(log_mel(waveforms) for waveforms in batches)
byol = BYOL(AudioNTT2020(dimension=512), features=512)
optimizer = torch.optim.Adam([weight for weight in byol.parameters() if weight.requires_grad], lr=3e-4)
for epoch in range(int(epochs)):
    for waveforms in batches:
        spectrograms = statistics.normalize(log_mel(waveforms)).repeat(2, 1, 1, 1)
        views = quantize(ResizeCrops.sample(spectrograms)(spectrograms))
        loss = byol(*normalize_batch(views).chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        byol.update_target(momentum=0.99)
    print(f"epoch {epoch}: loss {loss.item():.3f}")
torch.save(byol.encoder.state_dict(), out)  # read it with projects.audio.encoder.load_encoder(out)
