"""Post-training quantization of TFLite with ai-edge-quantizer."""

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import qtyping, quantizer, recipe
from numpy.typing import NDArray

from edgetl.embedding import embed_in_tflite
from edgetl.runner.contract import Contract

__all__ = ["quantize_tflite"]


def quantize_tflite(source: Path, images_NHWC: NDArray[np.uint8], contract: Contract, file: Path) -> None:
    """Write an integer version of a float `.tflite`; the softmax stays in float, so probabilities come out as float."""
    signature = Interpreter(str(source)).get_signature_list()
    (key, names), *_ = signature.items()
    batch = Interpreter(str(source)).get_input_details()[0]["shape"][0]
    # The file takes full batches only; images that fill up the last one again move no range.
    full = -(-len(images_NHWC) // batch) * batch
    filled_NHWC = np.resize(images_NHWC, (full, *images_NHWC.shape[1:]))
    feeds = [{names["inputs"][0]: filled_NHWC[i : i + batch]} for i in range(0, full, batch)]
    work = quantizer.Quantizer(str(source))
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    for operation in (qtyping.TFLOperationName.SOFTMAX, qtyping.TFLOperationName.OUTPUT):
        work.update_quantization_recipe(
            regex=".*", operation_name=operation, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE
        )
    work.quantize(work.calibrate({key: feeds})).export_model(str(file), overwrite=True)
    file.chmod(0o644)  # the library writes it as executable
    embed_in_tflite(file, contract)
