"""The contrastive loss of image and text features, over one process or many."""
import torch
import torch.distributed

from wkv._library import classes


def contrastive_loss(
    image_features: torch.Tensor,
    text_features: torch.Tensor,
    logit_scale: torch.Tensor,
    group: "torch.distributed.ProcessGroup | None" = None,
) -> torch.Tensor:
    """The mean, over B pairs and both directions, of the cross entropy with which an image finds its text among all
    texts, and a text its image, by cosine times `logit_scale` (arXiv 2103.00020, figure 3).

    `image_features`, `text_features`: [B, C], row i of both a pair; they need not be normalised. `logit_scale`: one
    value, the exponential of the learned parameter.

    In a training on several processes it is over the pairs of all processes of `group` (None: of all there are), each
    of which calls it with the same B. A process gets its own pairs' share: the mean of the shares is the loss of one
    process that has all pairs, and so are the gradients once DistributedDataParallel has averaged them.

    Raises ValueError for features of other shapes.
    """
    classes()  # says why where this PyTorch has the operators only
    name, rank, size = "", 0, 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        group = torch.distributed.group.WORLD if group is None else group
        name, rank, size = group.group_name, group.rank(), group.size()
    return torch.ops.wkv._contrastive_loss(image_features, text_features, logit_scale, name, rank, size)
