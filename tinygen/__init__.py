from tinygen.tensor import *
