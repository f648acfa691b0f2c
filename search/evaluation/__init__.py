"""How good masks and search are on pictures with a COCO truth, and which recipe is best there.

**Size** of an object is its share of the picture: small below 1 %, medium from 1 % to below 5 %,
large from 5 %. COCO's own limits count pixels; CLIP and SAM 2 see scaled pictures, so that the
share is what decides how much of an object they see.

**Truth.** An object is an annotation with a mask. It is of a *kind*: its category, with
attributes in front where these are asked for ("red star"). Crowds (`iscrowd`), and objects
without a value for the attributes, are neither asked for nor wrong answers for their category:
segments that lie at least half in them are left out of its rankings. Categories that are
backgrounds (`isthing` 0) are left out.

**Masks.** An object is found if an automatic mask has IoU ≥ 0.5 (or ≥ 0.75) with it.

**Search.** A text query is a kind. A segment query is an object's vector; its answers lie in
other pictures. Searched are, each time over all pictures:

- `automatic segments`: what an index holds. A segment is a right answer if its mask has
  IoU ≥ 0.5 with an object of the kind; an object that several segments show counts once, at its
  best place; one that none shows counts as never found. The query is the object's true mask.
- `true masks`: the objects, cut out perfectly, embedded as the profile says.
- `tight boxes`: the objects' boxes cut out, padded to squares, embedded by CLIP as it is.
- `whole pictures`: every object has its picture's vector, and chance decides among equals.

**mAP** is the mean over the queries of the average precision; **R@k** the share of the queries
with a right answer among the first k. By size: of the answers of a text query (objects of its
kind but of another size are neither right nor wrong), of the object asked with otherwise. The
interval holds the mean with 95 % certainty, as far as these queries speak for others.

**Captions.** A caption is a text query; right is its own picture. A picture's score is that of
its whole, of its best segment, or the sum of both, each standardised over the pictures.
"""
