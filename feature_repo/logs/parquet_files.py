"""Open and write the parquet files of logs: encrypted where the environment gives a key, read under whichever is meant.

Parquet's own modular encryption: each file has keys of its own, which lie in it under a seal of the environment's key
(feature_repo/privacy/sealing.py). Its footer is encrypted too, so that without the key not even columns are told.
"""

import datetime as dt
import functools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe

from feature_repo.privacy import sealing
from feature_repo.privacy.sealing import DamagedSeal

MAGIC = b"PARE"  # how an encrypted file ends; others end with PAR1
AES_BITS = 256
NEVER = dt.timedelta(0)  # keys that were changed are asked for again
Source = Any  # a path, or an open file of Arrow's
# Parquet's own words: https://parquet.apache.org/docs/file-format/data-pages/encryption/


class _Kms(pe.KmsClient):  # type: ignore[misc]  # pyarrow's stubs end here
    """Wraps a file's own keys under the environment's."""

    def __init__(self, config: Any) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> str:
        return sealing.given().seal(bytes(key_bytes)).decode()

    def unwrap_key(self, wrapped_key: str, master_key_identifier: str) -> bytes:
        return sealing.given().open(wrapped_key.encode(), what="a file of the request log")


@functools.cache
def _factory() -> Any:
    return pe.CryptoFactory(_Kms)


def opened(source: Source) -> pq.ParquetFile:
    """Open a file; raises SealError where its key is not at hand."""
    if not encrypted(source):
        return pq.ParquetFile(source)
    try:
        asked = pe.DecryptionConfiguration(cache_lifetime=NEVER)
        how = _factory().file_decryption_properties(pe.KmsConnectionConfig(), asked)
        return pq.ParquetFile(source, decryption_properties=how)
    except DamagedSeal as error:
        raise pa.ArrowInvalid(str(error)) from error


def writer(target: Source, schema: pa.Schema, **how: Any) -> pq.ParquetWriter:
    """Open a file to write to."""
    if key := sealing.given().newest:
        asked = pe.EncryptionConfiguration(
            footer_key=key,
            uniform_encryption=True,
            data_key_length_bits=AES_BITS,
            cache_lifetime=NEVER,
            double_wrapping=False,  # else a key between the two outlives the environment's in a cache
        )
        how["encryption_properties"] = _factory().file_encryption_properties(pe.KmsConnectionConfig(), asked)
    return pq.ParquetWriter(target, schema, **how)


def encrypted(source: Source) -> bool:
    """Tell whether a file is encrypted, by its last bytes; an open file is then where it was."""
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - len(MAGIC), 0))
            return file.read() == MAGIC
    place, size = source.tell(), source.size()
    source.seek(max(size - len(MAGIC), 0))
    found = source.read(len(MAGIC)) == MAGIC
    source.seek(place)
    return bool(found)
